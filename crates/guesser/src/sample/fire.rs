//! The fire test of a hook: causes one event of a kind and looks whether it was shown at all.

use std::rc::Rc;

use super::camera::Camera;
use super::camera::Shot;
use super::camera::Witness;
use super::datagram;
use super::datagram::State;
use super::ground::Ground;
use super::grounds::Grounds;
use super::route;
use super::route::Cause;
use super::stream;
use crate::expected::socket::Family;
use crate::fields::Event;
use crate::fields::Place;
use crate::guess::mark_at;
use crate::way::Order;
use crate::way::Read;
use crate::way::Way;

/// So often an event is caused, so that one of others is not taken for all of ours.
const TIMES: usize = 3;

/// Content with any event of ours.
#[derive(Debug)]
pub struct Anything {
    event: Event,
    mark_at: Option<usize>,
}

impl Anything {
    /// Of this kind.
    #[must_use]
    pub const fn of(event: Event) -> Self {
        Self {
            event,
            mark_at: None,
        }
    }

    /// Where the marks were. What the hook shows may be followed in memory by something else of
    /// ours, seen at events of others: so the first place is the right one.
    #[must_use]
    pub const fn mark_at(&self) -> Option<usize> {
        self.mark_at
    }
}

impl Witness for Anything {
    fn order(&self, event: Event, _unknown: &[Place]) -> Option<Rc<Order>> {
        let mut order = Order::new(event);
        let all = Read {
            way: Way::to_shown(event),
            offset: 0,
            bytes: event.shows().window_bytes(),
        };
        (event == self.event && order.add(all)).then(|| Rc::new(order))
    }

    fn look(&mut self, shot: Shot) -> bool {
        let events = shot.events.iter();
        let first = events
            .filter_map(|readings| mark_at(shot.mark, readings))
            .min();
        self.mark_at = [self.mark_at, first].into_iter().flatten().min();
        first.is_some()
    }

    fn is_done(&self, _places: &[Place]) -> bool {
        false
    }
}

/// Causes an event; says whether it was seen. An event that cannot be caused here is not missed.
///
/// # Errors
/// If no socket can be had.
pub fn cause(
    camera: &mut Camera<'_, '_>,
    grounds: &mut Grounds,
    event: Event,
) -> anyhow::Result<bool> {
    let mut seen = false;
    for _ in 0..TIMES {
        seen |= cause_once(camera, &mut grounds.plain[0], event)?;
    }
    Ok(seen)
}

fn cause_once(
    camera: &mut Camera<'_, '_>,
    ground: &mut Ground,
    event: Event,
) -> anyhow::Result<bool> {
    match event {
        Event::Packet => datagram::packet(camera, ground, Family::Inet, State::Bound),
        Event::SockState => stream::listening(camera, ground),
        Event::Route4 => route::lookup4(camera, ground, Cause::Datagram),
        Event::Route6 if !ground.has_inet6() => Ok(true),
        Event::Route6 => route::lookup6(camera, ground, Cause::Datagram),
    }
}
