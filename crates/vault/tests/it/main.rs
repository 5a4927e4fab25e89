//! The vault through its public door, over every engine. One module per promise it makes.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod breach;
#[cfg(test)]
mod cap;
#[cfg(test)]
mod compile_fail;
#[cfg(test)]
mod erasure;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod leaving;
#[cfg(test)]
#[path = "../../src/engine/postgres/tests/local.rs"]
mod local;
#[cfg(test)]
mod nodes;
#[cfg(test)]
#[path = "../../src/engine/postgres/tests/proxy.rs"]
mod proxy;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod sets;
#[cfg(test)]
mod theft;
#[cfg(test)]
mod uses;
#[cfg(test)]
mod wishes;
