//! Code that `flatc` generates from `wire/schema/ringspool.fbs`; private to the crate.
//!
//! Never edited by hand: `wire/schema/generate.sh` writes it again, and with `--check` fails if the
//! committed bytes are not what the schema gives. The lints are off because its style is `flatc`'s.

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused,
    deprecated,
    elided_lifetimes_in_paths,
    rust_2018_idioms,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used
)]
#[rustfmt::skip]
mod ringspool_generated;

pub(crate) use ringspool_generated::ringspool::wire as fb;
