//! What one event shows of a world, and how it is written into memory.

use std::time::Duration;

use shared::offsets::Field;

use super::layout::Extra;
use super::world::World;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::solve::sample::Expectations;
use crate::solve::sample::Expected;

/// Packets and buffers are freed and reused; this many exist.
const RECYCLED: u32 = 3;
/// Namespaces have numbers of 32 bits.
const OTHER_NET: u64 = 1 << 40;

/// One event about to be shown.
pub struct Scene {
    pub name: String,
    pub event: Event,
    /// The number of the object that is shown, if no expectation names it.
    pub shown: u64,
    /// What is there and is expected.
    pub expected: Expectations,
    /// What is there and is not expected.
    pub hidden: Expectations,
    /// Copies.
    pub extras: Vec<(Extra, Vec<u8>)>,
    /// The packet in the buffer.
    pub frame: Option<Frame>,
}

/// Where the headers are in the buffer, and the bytes from the first header on.
pub struct Frame {
    pub mac: u16,
    pub network: u16,
    pub transport: u16,
    pub bytes: Vec<u8>,
}

impl World {
    /// Writes a scene into memory, and returns the address of the object that the hook shows.
    pub fn fill(&mut self, scene: &Scene) -> u64 {
        let shown = scene.event.shows();
        let mut objects = vec![(shown, scene.shown)];
        if scene.frame.is_some() {
            let recycled = self.random.u32(0..RECYCLED).into();
            objects = vec![(Struct::SkBuff, recycled), (Struct::Buffer, recycled)];
        }
        let there: Vec<&(Place, Expected)> = scene.hidden.iter().chain(&scene.expected).collect();
        for (place, expected) in &there {
            if let (Some(to), Expected::Object { id, .. }) = (place.spec().leads_to(), expected) {
                let object = (to, self.behind(*place, *id));
                if !objects.contains(&object) {
                    objects.push(object);
                }
            }
        }
        for (kind, id) in &objects {
            let is_fresh = matches!(kind, Struct::SkBuff | Struct::Flowi4 | Struct::Flowi6);
            if is_fresh || !self.memory.has(*kind, *id) {
                let size = self.layout.sizes.get(kind).copied();
                self.memory.make(&mut self.random, *kind, *id, size);
            }
        }
        let of_kind = |kind: Struct| objects.iter().find(|(other, _)| *other == kind).copied();
        for (place, expected) in &there {
            let at = self.layout.places.get(place).copied();
            let value = self.value(scene, *place, expected, &of_kind);
            let inside = place.spec().inside;
            for (kind, id) in objects.iter().filter(|(kind, _)| *kind == inside) {
                let other = self.split_net.filter(|_| id & OTHER_NET != 0);
                if let Some(at) = other.filter(|_| *kind == Struct::Net).or(at) {
                    self.write(*kind, *id, at, &value);
                }
            }
        }
        for (extra, value) in &scene.extras {
            let at = self.layout.extras.get(extra).copied();
            if let (Some((kind, id)), Some(at)) = (of_kind(extra.inside()), at) {
                self.write(kind, id, at, value);
            }
        }
        self.point_further(scene, &of_kind);
        for (place, to) in self.copies.clone() {
            let (kind, at) = (place.spec().inside, self.layout.places[&place] as usize);
            let size = place.size_bytes() as usize;
            if let Some((kind, id)) = of_kind(kind) {
                let bytes = self.memory.bytes(kind, id);
                bytes.copy_within(at..at + size, to as usize);
            }
        }
        for (kind, id) in &objects {
            let bytes = self.memory.bytes(*kind, *id);
            (self.meddle)(*kind, bytes, &scene.expected);
            self.memory.finish(*kind, *id);
        }
        self.memory.address(objects[0].0, objects[0].1)
    }

    /// The number of the object that a pointer leads to.
    fn behind(&self, pointer: Place, id: u64) -> u64 {
        if self.split_net.is_some() && pointer == Field::SockNet.into() {
            id | OTHER_NET
        } else {
            id
        }
    }

    fn write(&mut self, kind: Struct, id: u64, at: u32, value: &[u8]) {
        let at = at as usize;
        self.memory.bytes(kind, id)[at..at + value.len()].copy_from_slice(value);
    }

    /// Writes other pointers into objects to which a field points, and the bytes of a packet.
    fn point_further(&mut self, scene: &Scene, of_kind: &dyn Fn(Struct) -> Option<(Struct, u64)>) {
        // Behind `sk`, so that the bytes there do not look like a `struct socket`.
        let sk = self.layout.places.get(&Field::SocketSk.into()).copied();
        let wq = sk.map_or(128, |sk| sk + 8);
        let mut point = |extra: Extra, (to, id): (Struct, u64), further: u64| {
            let at = self.layout.extras.get(&extra).copied();
            if let (Some(at), Some((kind, from))) = (at, of_kind(extra.inside())) {
                let address = self.memory.address(to, id) + further;
                self.write(kind, from, at, &address.to_ne_bytes());
            }
        };
        if let Some(socket) = of_kind(Struct::Socket) {
            point(Extra::SockWq, socket, wq.into());
        }
        if let (Some(frame), Some((kind, id))) = (&scene.frame, of_kind(Struct::Buffer)) {
            point(Extra::PacketData, (kind, id), frame.mac.into());
            self.write(kind, id, frame.mac.into(), &frame.bytes);
        }
    }

    /// The bytes of a place that holds what is expected.
    fn value(
        &mut self,
        scene: &Scene,
        place: Place,
        expected: &Expected,
        of_kind: &dyn Fn(Struct) -> Option<(Struct, u64)>,
    ) -> Vec<u8> {
        let mut address =
            |kind: Struct| of_kind(kind).map_or(0, |(kind, id)| self.memory.address(kind, id));
        let to = place.spec().leads_to();
        match expected {
            Expected::Bytes { bytes, .. } => bytes.clone(),
            Expected::Shifted { value, shift, .. } => {
                let low = self.random.u32(0..1 << shift);
                (value << shift | low).to_ne_bytes().to_vec()
            }
            Expected::Object { id, tag } => {
                let id = self.behind(place, *id);
                let address = self.memory.address(to.unwrap(), id);
                (address | tag).to_ne_bytes().to_vec()
            }
            Expected::Null => vec![0; 8],
            Expected::Address => address(to.unwrap()).to_ne_bytes().to_vec(),
            Expected::Back => address(Struct::Sock).to_ne_bytes().to_vec(),
            Expected::Index { .. } => {
                let frame = scene.frame.as_ref().unwrap();
                match place {
                    Place::Field(Field::SkBuffMacHeader) => frame.mac,
                    Place::Field(Field::SkBuffNetworkHeader) => frame.network,
                    _ => frame.transport,
                }
                .to_ne_bytes()
                .to_vec()
            }
            Expected::Deadline { ahead_s, between } => {
                let ahead = ahead_s.wrapping_mul(self.hz);
                let deadline = self.ticks(*between).wrapping_add(ahead);
                deadline.to_ne_bytes().to_vec()
            }
        }
    }

    /// The clock halfway between two moments.
    fn ticks(&self, between: (Duration, Duration)) -> u32 {
        let us = (between.0 + between.1).as_micros() as u64 / 2;
        let ticks = us * u64::from(self.hz) / 1_000_000;
        self.jiffies.wrapping_add(ticks as u32)
    }
}
