//! Route lookups of a world, with the flow on the stack of the caller or in the socket.

use std::net::SocketAddrV6;

use super::layout::Extra;
use super::scene::Scene;
use super::world::World;
use crate::expected::route;
use crate::fields::Event;
use crate::sample::route::Cause;
use crate::sample::sampler::Observer;

impl World {
    /// Makes the kernel look up a route.
    pub fn lookup(&mut self, observer: &mut dyn Observer, event: Event, cause: Cause) {
        let [src, dst] = [(); 2].map(|()| self.random_loopback());
        let random_ula = |world: &mut Self, port| {
            let low = u128::from(world.random.u64(..)) | u128::from(world.random.u64(..)) << 64;
            SocketAddrV6::new((0xfd << 120 | low >> 8).into(), port, 0, 0)
        };
        let src6 = random_ula(self, src.port());
        let dst6 = random_ula(self, dst.port());
        self.show(observer, event, &[], |world, _| {
            let expected = match event {
                Event::Route4 => route::expected(src.into(), dst.into()),
                _ => route::expected(src6.into(), dst6.into()),
            };
            let port = dst.port().to_be_bytes().to_vec();
            let mut extras = vec![
                (Extra::StackDaddr4, dst.ip().octets().to_vec()),
                (Extra::StackDport4, port.clone()),
                (Extra::StackDaddr6, dst6.ip().octets().to_vec()),
                (Extra::StackDport6, port),
            ];
            // A connecting socket keeps the flow of its lookup in itself, not on the stack.
            extras.retain(|_| cause == Cause::Datagram);
            Scene {
                name: format!("{event:?}, {cause:?}"),
                event,
                shown: world.random.u32(0..3).into(),
                expected: expected.unwrap(),
                hidden: Vec::new(),
                extras,
                frame: None,
            }
        });
    }
}
