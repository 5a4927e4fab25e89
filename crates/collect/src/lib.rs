//! collect
pub mod import;
#[cfg(test)]
mod testing;
