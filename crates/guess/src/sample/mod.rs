//! The experiments. [`site`] is one place to run them and [`sites`] all of them; [`pool`] opens
//! sockets there and [`socket`] records what we know about each. [`connection`], [`borrowed`],
//! [`datagram`], [`stream`] and [`route`] are the experiments, [`round`] decides which are made, and
//! [`sampler`] captures what the kernel holds meanwhile.

pub mod address;
pub mod borrowed;
pub mod connection;
pub mod datagram;
pub mod fire;
pub mod live;
pub mod mark;
pub mod pool;
pub mod round;
pub mod route;
pub mod sampler;
pub mod site;
pub mod sites;
pub mod socket;
pub mod stream;
pub mod tracking;
