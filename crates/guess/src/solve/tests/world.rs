//! A test kernel made of bytes. It fills its structs as a real kernel does in the states to which a round
//! brings sockets, packets and connections, with the copies that a real kernel keeps. The same observers
//! evaluate it.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::time::Duration;

use shared::offsets::Field;

use super::layout::Extra;
use super::layout::Layout;
use super::memory::Memory;
use super::scene::Scene;
use crate::attempt::Attempt;
use crate::attempt::run_rounds;
use crate::expected::connection::Abilities;
use crate::fields::Event;
use crate::fields::Place;
use crate::fields::Struct;
use crate::sample::mark::Marks;
use crate::sample::sampler::Observation;
use crate::sample::sampler::Observer;
use crate::solve::sample::Expectations;
use fastrand::Rng;

/// How often an event is shown until it is seen.
const TRIES: usize = 4;

/// Changes what one sample shows, given the struct, its bytes, and what is expected.
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
    pub round_trip_us: fn(&mut Rng) -> (u32, u32),
    /// Places of which each struct has a copy, and where.
    pub copies: Vec<(Place, u32)>,
    /// Where namespaces that are reached from sockets hold their number, if not where the others do.
    pub split_net: Option<u32>,
    pub meddle: Meddle,
    pub(super) random: Rng,
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
            round_trip_us: |random| (random.u32(20..270), random.u32(5..130)),
            copies: Vec::new(),
            split_net: None,
            meddle: |_, _, _| {},
            random: Rng::with_seed(seed),
            memory: Memory::default(),
            now_us: 0,
        }
    }

    pub fn usual(seed: u64) -> Self {
        Self::new(Layout::usual(), seed)
    }

    pub fn randomised(seed: u64) -> Self {
        let layout = Layout::randomised(&mut Rng::with_seed(seed));
        Self::new(layout, seed)
    }

    /// Removes a place, although it is expected.
    pub fn without(mut self, place: impl Into<Place>) -> Self {
        self.layout.places.remove(&place.into());
        self
    }

    /// Puts a copy of a place into free bytes of its struct, and returns its offset.
    pub fn copy(&mut self, place: Place) -> u32 {
        let at = self.layout.somewhere_free(&mut self.random, place);
        self.copies.push((place, at));
        at
    }

    /// Runs rounds of experiments until the solver is settled.
    pub fn solve(&mut self) -> Attempt {
        let mut attempt = Attempt::new(self.fields, false, self.marks());
        run_rounds(&mut attempt, |attempt, number| {
            self.round(attempt, number);
            Ok(())
        })
        .unwrap();
        attempt
    }

    /// Which word of the shown object holds the mark, as the fire test of a hook finds it.
    pub fn marks(&self) -> Marks {
        let word = |event| self.layout.extras[&Extra::mark_of(event)] as usize / 4;
        Event::ALL
            .into_iter()
            .map(|event| (event, word(event)))
            .collect()
    }

    /// The number of one of the namespaces.
    pub(super) fn netns(&self, site: usize) -> Option<u32> {
        self.has_netns.then_some(0xf000_0123 + 7 * site as u32)
    }

    pub(super) fn random_loopback(&mut self) -> SocketAddrV4 {
        let host = self.random.u32(1..(1 << 24) - 1);
        let port = self.random.u32(1024..1 << 16) as u16;
        SocketAddrV4::new(Ipv4Addr::from(127 << 24 | host), port)
    }

    /// Lets some time pass, and returns two moments between which something happens.
    pub(super) fn meanwhile(&mut self) -> (Duration, Duration) {
        let mut pass = |low, high| {
            self.now_us += u64::from(self.random.u32(low..high));
            Duration::from_micros(self.now_us)
        };
        (pass(5, 4000), pass(2, 200))
    }

    /// Shows an event until it is seen, and returns whether it was.
    pub(super) fn show(
        &mut self,
        observer: &mut dyn Observer,
        event: Event,
        unknown: &[Place],
        mut scene: impl FnMut(&mut Self, u32) -> Scene,
    ) -> bool {
        let Some(plan) = observer.plan(event, unknown) else {
            return false;
        };
        (0..TRIES).any(|_| {
            let mark = self.random.u32(1..);
            let mut scene = scene(self, mark);
            let mark_of = Extra::mark_of(event);
            scene.extras.push((mark_of, mark.to_ne_bytes().to_vec()));
            let root = self.fill(&scene);
            let ours = self.memory.capture(&plan, root, self.readable);
            // All that is known about objects of others is that the mark is not in them.
            let mut stranger = ours.clone();
            for reading in &mut stranger {
                reading.bytes.iter_mut().for_each(|byte| *byte = !*byte);
            }
            let mut events = vec![ours, stranger];
            self.random.shuffle(&mut events);
            observer.observe(Observation {
                name: scene.name,
                mark,
                plan: plan.clone(),
                expected: scene.expected,
                events,
            })
        })
    }
}
