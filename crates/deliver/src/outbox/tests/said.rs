//! What a mail says to one person, when it has left: the reason, and where the address came from.

use super::*;

/// The mail that one person got.
async fn received() -> OpenedMail {
    let house = House::new().await;
    let person = house.person("jo").await;
    house.decide(person, 1).await;
    let inbox = taking();
    against(&inbox, async |port| assert_eq!(house.step(&mailer(port)).await.n_sent(), 1)).await;
    OpenedMail::read(&inbox.mail(1).unwrap().bytes).unwrap()
}

#[tokio::test]
async fn d02_the_reason_in_a_mail_is_the_why_of_its_trace() {
    let why = trace(At::parse(NOON).unwrap()).why().unwrap();
    let mail = received().await;
    for part in [&mail.text, &mail.html] {
        assert!(part.contains(&format!("Why you: {why}")), "{part}");
    }
}

#[tokio::test]
async fn a29_a_mail_says_where_the_address_it_went_to_came_from() {
    let mail = received().await;
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("It came to us through “shop” on 2 March 2026 (checkout form)."), "{part}");
        assert!(part.contains("On 2 March 2026 we told you what it is for:"), "{part}");
    }
}
