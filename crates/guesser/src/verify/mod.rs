//! The proof on held-out data: fresh connections and sockets, of which nothing but the found offsets
//! is read, as a consumer would read them. Everything must be there; in a packet that is not tracked
//! there must be no connection. [`check`] judges what was read, `consequences` what follows from that.

mod check;
mod consequences;

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::bail;

use crate::fields::Event;
use crate::fields::Kind;
use crate::fields::Place;
use crate::guess::Marks;
use crate::proven::Proven;
use crate::sample::camera::Shot;
use crate::sample::camera::Witness;
use crate::way::Order;
use crate::way::Read;
use crate::way::Reading;
use crate::way::Way;
use check::Check;
use check::Point;

pub use consequences::consequences;

/// So often a place must have held what it must, and that was not nothing.
pub const CONFIRMATIONS: u32 = 2;

/// A check that looks at the shots.
#[derive(Debug)]
pub struct Verification {
    orders: Vec<(Rc<Order>, Vec<Point>)>,
    check: Check,
}

impl Verification {
    /// A check of these offsets that has seen nothing.
    ///
    /// # Errors
    /// If they do not fit into one request.
    pub fn new(proven: &Proven, marks: &Marks) -> anyhow::Result<Self> {
        let mut orders = Vec::new();
        for (event, mark_at) in marks {
            let mut order = Order::new(*event);
            let mut points = Vec::new();
            // Nothing else tells our event from those of others.
            order.add(Read {
                way: Way::to_shown(*event),
                offset: 4 * *mark_at as u32,
                bytes: 4,
            });
            for (place, offset) in proven.iter() {
                add(&mut order, &mut points, proven, (place, offset))?;
            }
            if !points.is_empty() {
                orders.push((Rc::new(order), points));
            }
        }
        Ok(Self {
            orders,
            check: Check::default(),
        })
    }

    /// The places that did not pass.
    #[must_use]
    pub const fn contradicted(&self) -> &BTreeSet<Place> {
        self.check.contradicted()
    }

    /// How often a place was confirmed; never, if along one of the ways that packets and lookups show it
    /// never was.
    #[must_use]
    pub fn confirmations(&self, place: Place) -> u32 {
        let all = self.orders.iter().flat_map(|(_, points)| points);
        // A listener has no peer, and nothing that moves.
        let along = all.filter(|point| point.place == place && point.way.event != Event::SockState);
        let times: Vec<u32> = along.map(|point| self.check.confirmations(point)).collect();
        if times.contains(&0) {
            return 0;
        }
        times.iter().sum()
    }

    /// Whether that was often enough.
    #[must_use]
    pub fn has_seen(&self, place: Place) -> bool {
        self.confirmations(place) >= CONFIRMATIONS
    }
}

/// Reads a place along every proven way to it that begins with the order's event.
fn add(
    order: &mut Order,
    points: &mut Vec<Point>,
    proven: &Proven,
    (place, offset): (Place, u32),
) -> anyhow::Result<()> {
    let event = order.event();
    let mut read = |way: Way, offset, bytes| {
        let index = order.reads().len();
        let wanted = Read { way, offset, bytes };
        if let Some(known) = order.reads().position(|read| *read == wanted) {
            return Ok(known);
        }
        if order.add(wanted) {
            return Ok(index);
        }
        bail!("{place} does not fit into one request");
    };
    let spec = place.spec();
    let ways = proven.ways(spec.searched_at());
    for way in ways.into_iter().filter(|way| way.event == event) {
        let (parent, along) = (way.parent(), way.clone());
        let (own, beside) = match (&spec.kind, parent) {
            // A header is where its index says, in the packet's bytes.
            (Kind::Index { .. }, Some(parent)) => {
                let buffer = read(way, 0, spec.searched_at().window_bytes())?;
                ((parent, offset), Some(buffer))
            }
            _ => ((way, offset), None),
        };
        points.push(Point {
            place,
            way: along,
            read: read(own.0, own.1, place.size_bytes())?,
            beside,
        });
    }
    Ok(())
}

impl Witness for Verification {
    fn order(&self, event: Event, _unknown: &[Place]) -> Option<Rc<Order>> {
        let mut orders = self.orders.iter();
        let (order, _) = orders.find(|(order, _)| order.event() == event)?;
        Some(Rc::clone(order))
    }

    fn look(&mut self, shot: Shot) -> bool {
        let event = shot.order.event();
        let mut orders = self.orders.iter();
        let points = orders.find(|(order, _)| order.event() == event);
        let mark = shot.mark.to_ne_bytes();
        let is_ours =
            |readings: &Vec<Reading>| readings.first().is_some_and(|word| word.bytes == mark);
        let ours: Vec<_> = shot.events.into_iter().filter(is_ours).collect();
        points.is_some_and(|(_, points)| self.check.judge(points, &shot.expected, &ours))
    }

    fn is_done(&self, places: &[Place]) -> bool {
        let mut points = self.orders.iter().flat_map(|(_, points)| points);
        !points.any(|point| places.contains(&point.place))
    }
}
