//! Sends one packet and takes what the kernel side saw meanwhile. Events of others are told apart
//! by content and counted; where ours is not there exactly once, the packet counts for nothing.

use std::fmt;

use anyhow::Context as _;

use super::flow::Flow;
use crate::bpf::Probe;
use crate::expected::Packet;
use crate::expected::Turn;
use crate::random::Random;
use crate::way::Order;

/// How often a packet is sent anew if its event was not seen exactly once.
const TRIES: usize = 4;

/// What was read at each of some events: per read of the order, its bytes.
pub type Events = Vec<Vec<Vec<u8>>>;

/// What happened besides the samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Samples that were taken.
    pub samples: u32,
    /// Events that were not ours.
    pub foreign: u32,
    /// Events for which there was no room.
    pub unread: u32,
    /// Packets whose event was not seen exactly once.
    pub void: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples,
            foreign,
            unread,
            void,
        } = self;
        write!(
            f,
            "{samples} samples; events of others: {foreign} read, {unread} not; {void} packets void"
        )
    }
}

/// Takes samples.
pub struct Camera<'a, 'obj> {
    /// The kernel side.
    pub probe: &'a mut Probe<'obj>,
    /// Source of marks.
    pub random: Random,
    /// What happened so far.
    pub tally: Tally,
}

impl Camera<'_, '_> {
    /// Sends a packet of a flow until exactly one event during it is ours, and returns the packet and
    /// what was read then; none if no try led to that, or the flow became stale.
    ///
    /// # Errors
    /// If a packet cannot be prepared or sent.
    pub fn take(
        &mut self,
        flow: &Flow,
        turn: Turn,
        order: &Order,
        is_ours: impl Fn(Packet, &[Vec<u8>]) -> bool,
    ) -> anyhow::Result<Option<(Packet, Vec<Vec<u8>>)>> {
        for _ in 0..TRIES {
            let mark = self.random.mark();
            let packet = Packet { turn, mark };
            let events = self.events(flow, packet, order)?;
            if flow.is_stale() {
                break;
            }
            let (mut ours, others): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|reads| is_ours(packet, reads));
            self.tally.foreign += others.len() as u32;
            if ours.len() == 1 {
                self.tally.samples += 1;
                return Ok(ours.pop().map(|reads| (packet, reads)));
            }
            self.tally.void += 1;
        }
        Ok(None)
    }

    /// Sends one packet and returns what was read at each event of this thread meanwhile.
    ///
    /// # Errors
    /// If the packet cannot be prepared or sent.
    pub fn events(&mut self, flow: &Flow, packet: Packet, order: &Order) -> anyhow::Result<Events> {
        flow.prepare(packet)?;
        self.probe.arm(order, self.random.number() | 1);
        let sent = flow.send(packet.turn);
        let answers = self.probe.disarm(order);
        sent.with_context(|| format!("send a packet ({})", flow.facts()))?;
        self.tally.unread += answers.unread;
        Ok(answers.hits)
    }
}
