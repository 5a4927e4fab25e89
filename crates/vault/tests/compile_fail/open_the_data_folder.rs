//! The data folder's files cannot be opened around the vault.
use vault::disk::Disk;
use vault::folder::Folder;
fn main() {}
