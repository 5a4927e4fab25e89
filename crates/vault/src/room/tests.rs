//! A disk that a test fills and empties.

use super::*;
use model::chance::Seeded;

const TOTAL: u64 = 10 << 30;
const KEPT: u64 = TOTAL / 100 * 2;

struct OnDisk {
    room: Room,
    folder: tempfile::TempDir,
}

/// A room whose disk has so much free, the ballast not counted.
fn on_disk(free: u64) -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    let room = Room::new(Some(folder.path()));
    *room.disk.lock().unwrap() = Some((free, TOTAL));
    OnDisk { room, folder }
}

impl OnDisk {
    fn becomes(&self, free: u64) -> DiskRoom {
        *self.room.disk.lock().unwrap() = Some((free, TOTAL));
        self.look()
    }

    fn look(&self) -> DiskRoom {
        self.room.look(2, &Seeded::new(1)).unwrap().room
    }

    fn has_ballast(&self) -> bool {
        std::fs::metadata(self.folder.path().join("ballast")).is_ok_and(|metadata| metadata.len() == BALLAST_BYTES)
    }
}

fn no_room() -> VaultError {
    crate::disk::file_error("writing", Path::new("x"), std::io::Error::from(ErrorKind::StorageFull))
}

#[test]
fn c22_the_ballast_goes_when_the_disk_is_full_and_comes_back_with_the_room() {
    let disk = on_disk(TOTAL / 2);
    assert_eq!(disk.look(), DiskRoom::Plenty);
    assert!(disk.has_ballast() && !disk.room.is_full());
    assert_eq!(disk.becomes(TOTAL / 100 * 4), DiskRoom::Low);
    assert!(disk.has_ballast());
    assert_eq!(disk.becomes(KEPT + BALLAST_BYTES - 1), DiskRoom::Full);
    assert!(!disk.has_ballast() && disk.room.is_full(), "it was in the way of the last bytes");
    assert_eq!(disk.becomes(KEPT + BALLAST_BYTES), DiskRoom::Full, "just room for the ballast is not room");
    assert_eq!(disk.becomes(KEPT + 2 * BALLAST_BYTES), DiskRoom::Low);
    assert!(disk.has_ballast() && !disk.room.is_full());
}

#[test]
fn c22_a_batch_is_asked_about_before_it_is_written() {
    let disk = on_disk(TOTAL / 2);
    disk.look();
    assert_eq!(disk.room.for_batch(), Allowed::Everything);
    *disk.room.disk.lock().unwrap() = Some((KEPT + BALLAST_BYTES - 1, TOTAL));
    assert_eq!(disk.room.for_batch(), Allowed::Owed, "noticed before anybody looked");
    assert!(!disk.has_ballast());
    *disk.room.disk.lock().unwrap() = Some((OWN_BYTES - 1, TOTAL));
    assert_eq!(disk.room.for_batch(), Allowed::Nothing);
    disk.room.break_off();
    *disk.room.disk.lock().unwrap() = Some((TOTAL / 2, TOTAL));
    assert_eq!(disk.room.for_batch(), Allowed::Nothing, "a store that broke off waits for the next opening");
    assert!(disk.room.look(2, &Seeded::new(1)).unwrap().is_broken_off);
}

#[test]
fn c22_what_people_say_is_written_again_with_the_room_of_the_ballast() {
    let disk = on_disk(TOTAL / 2);
    disk.look();
    let mut n = 0;
    let written = disk.room.with_reserve(|| {
        n += 1;
        if disk.has_ballast() { Err(no_room()) } else { Ok(n) }
    });
    assert_eq!(written.unwrap(), 2);
    assert!(disk.room.is_full());
    assert!(matches!(disk.room.with_reserve(|| Err::<(), _>(no_room())), Err(VaultError::DiskFull)));
    // After a failed sync nobody knows what is on the disk: it is not tried again.
    let mut n = 0;
    let synced = disk.room.with_reserve(|| {
        n += 1;
        Err::<(), _>(crate::disk::file_error("syncing", Path::new("x"), ErrorKind::StorageFull.into()))
    });
    assert!(matches!(synced, Err(VaultError::File { doing: "syncing", .. })) && n == 1);
}

#[test]
fn the_end_of_the_disk_is_known_however_deep_it_stands() {
    let engine =
        VaultError::Engine { engine: "fjall", source: Box::new(fjall::Error::Io(ErrorKind::StorageFull.into())) };
    assert!(is_no_room(&engine) && is_no_room(&no_room()));
    let other = VaultError::Engine { engine: "fjall", source: Box::new(fjall::Error::Io(ErrorKind::Other.into())) };
    assert!(!is_no_room(&other) && !is_no_room(&VaultError::Busy));
}

#[test]
fn in_memory_there_is_no_disk() {
    let room = Room::new(None);
    room.break_off();
    assert_eq!(room.for_batch(), Allowed::Everything);
    assert_eq!(room.look(2, &Seeded::new(1)).unwrap().room, DiskRoom::Plenty);
}
