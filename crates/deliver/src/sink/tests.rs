//! The sink as a mail server: what it keeps, what it refuses, and its limits.

use super::*;
use model::time::ManualClock;

/// Speaks to a sink line by line, and tells the answer's codes.
async fn talk(inbox: &Arc<Inbox>, lines: &[&str]) -> Vec<String> {
    let listener = bind().await;
    let address = listener.local_addr().unwrap();
    let said = lines.concat();
    let client = async {
        let stream = tokio::net::TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
        let (read, mut write) = stream.into_split();
        write.write_all(said.as_bytes()).await.unwrap();
        write.shutdown().await.unwrap();
        let mut answers = String::new();
        BufReader::new(read).read_to_string(&mut answers).await.unwrap();
        answers.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| line[..3].to_owned()).collect()
    };
    tokio::select! {
        served = serve(listener, inbox.clone()) => panic!("the sink stopped: {served:?}"),
        answers = client => answers,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test stands where the program would")]
async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new(Arc::new(ManualClock::new(At::from_ms(1_000)))))
}

const HELLO: &str = "EHLO me\r\nMAIL FROM:<a@shop.example> SIZE=9\r\nRCPT TO:<b@example.com>\r\nDATA\r\n";

#[tokio::test]
async fn a_mail_is_kept_as_it_was_sent_without_the_dots() {
    let inbox = inbox();
    let answers = talk(&inbox, &[HELLO, "Subject: x\r\n\r\n..dot\r\n...\r\nend.\r\n.\r\nQUIT\r\n"]).await;
    assert_eq!(answers, ["220", "250", "250", "250", "354", "250", "221"]);
    let mail = inbox.mail(1).unwrap();
    assert_eq!(mail.bytes, b"Subject: x\r\n\r\n.dot\r\n..\r\nend.\r\n");
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("a@shop.example", &["b@example.com".to_owned()][..]));
    assert_eq!(mail.at, At::from_ms(1_000));
    assert_eq!(format!("{mail:?}"), "ReceivedMail(1, 30 bytes)");
}

#[tokio::test]
async fn only_crlf_dot_crlf_ends_a_mail() {
    let inbox = inbox();
    let smuggled = "one\r\n\n.\nMAIL FROM:<evil@x>\r\n\n.\r\ntwo\r\n.\r\n";
    let answers = talk(&inbox, &[HELLO, smuggled, "QUIT\r\n"]).await;
    assert_eq!(answers, ["220", "250", "250", "250", "354", "250", "221"]);
    assert_eq!(inbox.n_received(), 1);
}

#[tokio::test]
async fn commands_out_of_order_are_refused() {
    let inbox = inbox();
    let answers = talk(
        &inbox,
        &["NOOP\r\nRCPT TO:<b@example.com>\r\nDATA\r\nMAIL b\r\nVRFY x\r\nMAIL FROM:<a@b>\r\nRSET\r\nRCPT TO:<b@c>\r\nQUIT\r\n"],
    )
    .await;
    assert_eq!(answers, ["220", "250", "503", "503", "501", "502", "250", "250", "503", "221"]);
    assert_eq!(inbox.n_received(), 0);
}

#[tokio::test]
async fn too_large_is_refused_whole_and_the_next_is_taken() {
    let inbox = inbox();
    let large = format!("{}\r\n", "x".repeat(998)).repeat(MAIL_BYTES_MAX / 1_000 + 1);
    let answers = talk(&inbox, &[HELLO, &large, ".\r\n", &HELLO[9..], "small\r\n.\r\nQUIT\r\n"]).await;
    assert_eq!(answers, ["220", "250", "250", "250", "354", "552", "250", "250", "354", "250", "221"]);
    assert_eq!(inbox.mails().len(), 1);
    let line = "x".repeat(5_000);
    assert_eq!(talk(&inbox, &[&line]).await, ["220", "500"]);
}

#[tokio::test]
async fn a_mail_cut_off_in_the_middle_is_not_kept() {
    let inbox = inbox();
    assert_eq!(talk(&inbox, &[HELLO, "half a li"]).await, ["220", "250", "250", "250", "354"]);
    assert_eq!(inbox.n_received(), 0);
}

#[tokio::test]
async fn it_behaves_as_told() {
    let manner = |stage, given: &str| match (stage, given) {
        (Stage::Rcpt, "gone@example.com") => Manner::Answer("550 5.1.1 unknown"),
        (Stage::End, _) => Manner::Answer("451 4.3.0 later"),
        (Stage::Mail, "drop@example.com") => Manner::Drop,
        _ => Manner::Take,
    };
    let inbox = Arc::new(Inbox::behaving(Arc::new(ManualClock::new(At::from_ms(0))), manner));
    let answers = talk(&inbox, &["MAIL FROM:<a@b>\r\nRCPT TO:<gone@example.com>\r\nDATA\r\nQUIT\r\n"]).await;
    assert_eq!(answers, ["220", "250", "550", "503", "221"]);
    assert_eq!(talk(&inbox, &[HELLO, "x\r\n.\r\nQUIT\r\n"]).await, ["220", "250", "250", "250", "354", "451", "221"]);
    assert_eq!(talk(&inbox, &["MAIL FROM:<drop@example.com>\r\n"]).await, ["220"]);
    assert_eq!(inbox.n_received(), 0);
}

#[test]
fn the_oldest_mails_go_first() {
    let inbox = inbox();
    for _ in 0..MAILS_MAX + 5 {
        inbox.keep("a@b".to_owned(), Vec::new(), b"x".to_vec());
    }
    let mails = inbox.mails();
    assert_eq!((mails.len(), mails[0].number, mails[MAILS_MAX - 1].number), (MAILS_MAX, 2_005, 6));
    inbox.keep("a@b".to_owned(), Vec::new(), vec![0; KEPT_BYTES_MAX]);
    assert_eq!(inbox.mails().len(), 1, "one large mail stands for all the small ones");
    assert!(inbox.mail(6).is_none());
}
