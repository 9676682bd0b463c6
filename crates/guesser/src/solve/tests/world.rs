//! A kernel made of bytes: filled as a real one fills its structs in the states that the plan brings
//! sockets, packets and connections to, with the copies that it keeps, and looked at by the same
//! witnesses.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::time::Duration;

use shared::offsets::Field;

use super::layout::Extra;
use super::layout::Layout;
use super::memory::Memory;
use super::scene::Scene;
use crate::expected::connection::Abilities;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::guess::Marks;
use crate::guess::Search;
use crate::guess::guess;
use crate::random::Random;
use crate::sample::camera::Shot;
use crate::sample::camera::Witness;
use crate::solve::sample::Expectations;

/// An event that was not seen is made again so often.
const TRIES: usize = 4;

/// Changes what one sample shows: the struct, its bytes, and what is expected.
pub type Meddle = fn(Struct, &mut Vec<u8>, &Expectations);

pub struct World {
    pub fields: &'static [Field],
    pub layout: Layout,
    /// How much of each struct can be read.
    pub readable: fn(Struct) -> u32,
    pub can: Abilities,
    /// Whether connections can be given a timeout.
    pub can_time: bool,
    /// Whether the kernel has namespaces.
    pub has_netns: bool,
    /// Whether it has IPv6 sockets.
    pub has_inet6: bool,
    pub hz: u32,
    /// The clock at the beginning.
    pub jiffies: u32,
    /// Draws a smoothed round-trip time and its deviation.
    pub round_trip_us: fn(&mut Random) -> (u32, u32),
    /// Places of which each struct has a copy, and where.
    pub copies: Vec<(Place, u32)>,
    /// Where the number of a namespace is that a socket leads to, if not where that of any other is.
    pub split_net: Option<u32>,
    pub meddle: Meddle,
    pub(super) random: Random,
    pub(super) memory: Memory,
    now_us: u64,
}

impl World {
    pub fn new(layout: Layout, seed: u64) -> Self {
        Self {
            fields: Field::ALL,
            layout,
            readable: Struct::window_bytes,
            can: Abilities {
                zone: true,
                mark: true,
                nat: Some(true),
            },
            can_time: true,
            has_netns: true,
            has_inet6: true,
            hz: 250,
            jiffies: 0_u32.wrapping_sub(300 * 250),
            round_trip_us: |random| (random.between(20, 270), random.between(5, 130)),
            copies: Vec::new(),
            split_net: None,
            meddle: |_, _, _| {},
            random: Random::seeded(seed),
            memory: Memory::default(),
            now_us: 0,
        }
    }

    pub fn usual(seed: u64) -> Self {
        Self::new(Layout::usual(), seed)
    }

    pub fn randomised(seed: u64) -> Self {
        let layout = Layout::randomised(&mut Random::seeded(seed));
        Self::new(layout, seed)
    }

    /// Takes a place away: whatever is told of it, it is not there.
    pub fn without(mut self, place: impl Into<Place>) -> Self {
        self.layout.places.remove(&place.into());
        self
    }

    /// Lays a copy of a place into free bytes of its struct, and says where.
    pub fn copy(&mut self, place: Place) -> u32 {
        let at = self.layout.somewhere_free(&mut self.random, place);
        self.copies.push((place, at));
        at
    }

    /// Rounds of experiments until nothing more can be learnt.
    pub fn solve(&mut self) -> Search {
        let mut search = Search::new(self.fields, false, self.marks());
        guess(&mut search, |search| {
            self.round(search);
            Ok(())
        })
        .unwrap();
        search
    }

    /// Which word of what a hook shows is the mark, as the fire test of a hook learns it.
    pub fn marks(&self) -> Marks {
        let word = |event| self.layout.extras[&Extra::mark_of(event)] as usize / 4;
        Event::ALL
            .into_iter()
            .map(|event| (event, word(event)))
            .collect()
    }

    /// The number of one of the namespaces.
    pub(super) fn netns(&self, ground: usize) -> Option<u32> {
        self.has_netns.then_some(0xf000_0123 + 7 * ground as u32)
    }

    pub(super) fn somewhere(&mut self) -> SocketAddrV4 {
        let host = self.random.between(1, (1 << 24) - 1);
        let port = self.random.between(1024, 1 << 16) as u16;
        SocketAddrV4::new(Ipv4Addr::from(127 << 24 | host), port)
    }

    /// Lets some time pass; two moments between which something happens then.
    pub(super) fn meanwhile(&mut self) -> (Duration, Duration) {
        let mut pass = |low, high| {
            self.now_us += u64::from(self.random.between(low, high));
            Duration::from_micros(self.now_us)
        };
        (pass(5, 4000), pass(2, 200))
    }

    /// Shows an event, again if it was not seen; says whether it was.
    pub(super) fn show(
        &mut self,
        witness: &mut dyn Witness,
        event: Event,
        unknown: &[Place],
        mut scene: impl FnMut(&mut Self, u32) -> Scene,
    ) -> bool {
        let Some(order) = witness.order(event, unknown) else {
            return false;
        };
        (0..TRIES).any(|_| {
            let mark = self.random.mark();
            let mut scene = scene(self, mark);
            let mark_of = Extra::mark_of(event);
            scene.extras.push((mark_of, mark.to_ne_bytes().to_vec()));
            let root = self.fill(&scene);
            let ours = self.memory.capture(&order, root, self.readable);
            // Of the objects of others all that is known is that the mark is not in them.
            let mut stranger = ours.clone();
            for reading in &mut stranger {
                reading.bytes.iter_mut().for_each(|byte| *byte = !*byte);
            }
            let mut events = vec![ours, stranger];
            self.random.shuffle(&mut events);
            witness.look(Shot {
                name: scene.name,
                mark,
                order: order.clone(),
                expected: scene.told,
                events,
            })
        })
    }
}
