//! The map that is shared with the capture program: writes requests and reads answers. Only this file
//! touches memory that the kernel writes.
#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd as _;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::atomic::compiler_fence;

use anyhow::Context as _;
use memmap2::MmapOptions;
use memmap2::MmapRaw;

use super::skel::types::guess_base;
use super::skel::types::guess_event;
use super::skel::types::guess_exchange;
use super::skel::types::guess_hit;
use super::skel::types::guess_piece;
use super::skel::types::guess_request;
use crate::fields::Event;
use crate::path::MAX_BASES;
use crate::path::MAX_PIECES;
use crate::path::PIECE_BYTES;
use crate::path::ReadPlan;
use crate::path::Reading;

const MAP_BYTES: usize = size_of::<guess_exchange>();
const HITS: usize = (MAP_BYTES - size_of::<guess_request>()) / size_of::<guess_hit>();

// The limits of a [`ReadPlan`] are those of `guess_wire.h`: else this does not compile.
const _: fn(guess_request) -> [guess_base; MAX_BASES] = |request| request.base;
const _: fn(guess_request) -> [guess_piece; MAX_PIECES] = |request| request.piece;
const _: fn(guess_hit) -> [[u8; PIECE_BYTES as usize]; MAX_PIECES] = |hit| hit.arena;

/// What was read while the program was armed.
#[derive(Debug, Default)]
pub struct Answers {
    /// The readings of each of the first events, from [`ReadPlan::unpack`].
    pub hits: Vec<Vec<Reading>>,
    /// Events for which there was no room.
    pub unread: u32,
}

/// The map, mapped into memory.
#[derive(Debug)]
pub struct Exchange {
    map: MmapRaw,
    /// The constant part of every request, which reads nothing.
    template: guess_request,
    /// The buffer to which answers are copied.
    hit: Box<guess_hit>,
}

impl Exchange {
    /// Maps the map, in which a test run has noted the thread to follow. Two addresses further apart than
    /// `span_bytes` are not both in the linear map.
    ///
    /// # Errors
    /// If the kernel refuses; kernels before 5.5 do.
    pub fn map(fd: &impl AsFd, span_bytes: u64) -> anyhow::Result<Self> {
        let map = MmapOptions::new()
            .len(MAP_BYTES)
            .map_raw(fd.as_fd().as_raw_fd())
            .context("map the capture program's map")?;
        let mut exchange = Self {
            map,
            template: guess_request::default(),
            hit: Box::default(),
        };
        exchange.template.pid_tgid = exchange.request().pid_tgid;
        exchange.template.span_bytes = span_bytes;
        Ok(exchange)
    }

    /// Lets the program read what the plan says, at events of our thread, until [`disarm`].
    ///
    /// [`disarm`]: Self::disarm
    pub fn arm(&mut self, plan: &ReadPlan, token: u64) {
        let mut request = guess_request {
            bases: plan.bases().len() as u32,
            event: number(plan.event()),
            ..self.template
        };
        for (slot, base) in request.base.iter_mut().zip(plan.bases()) {
            *slot = guess_base {
                tag_mask: base.tag_mask,
                parent: base.parent,
                offset: base.offset,
            };
        }
        for (slot, piece) in request.piece.iter_mut().zip(plan.pieces()) {
            *slot = guess_piece {
                base: piece.base,
                offset: piece.offset,
                bytes: piece.bytes,
            };
        }
        self.write(&request);
        // An interrupt may run the program in this thread at any time. It must then find no token or the
        // complete request.
        self.write(&guess_request { token, ..request });
    }

    /// Stops the program and returns what it read.
    pub fn disarm(&mut self, plan: &ReadPlan) -> Answers {
        let answered = self.request();
        let idle = self.template;
        self.write(&idle);
        let read = (answered.seen as usize).min(HITS);
        let mut hits = Vec::with_capacity(read);
        for index in 0..read {
            let hit = self.hit(index, plan.pieces().len());
            if hit.token == answered.token {
                let piece = |index: usize| (hit.failed[index] == 0).then_some(&hit.arena[index]);
                hits.push(plan.unpack(|base| hit.address[base], piece));
            }
        }
        Answers {
            unread: answered.seen - hits.len() as u32,
            hits,
        }
    }

    fn request(&self) -> guess_request {
        let mut request = guess_request::default();
        let from = self.map.as_ptr().cast::<guess_request>();
        // An interrupt of this thread may run the program during the copy, and change `seen`: either value
        // is true of some moment, and each hit says by its token whether it belongs to this request.
        // SAFETY: the mapping is aligned and long enough; any bytes are a valid guess_request.
        unsafe { ptr::copy_nonoverlapping(from, &raw mut request, 1) };
        request
    }

    fn write(&mut self, request: &guess_request) {
        let to = self.map.as_mut_ptr().cast::<guess_request>();
        // SAFETY: as in `request`; the mapping is writable, and nothing refers into it.
        unsafe { ptr::copy_nonoverlapping(&raw const *request, to, 1) };
        // The writes must be complete before the next system call, and in this order.
        compiler_fence(Ordering::SeqCst);
    }

    /// An answer with this many pieces; the rest of the buffer is left from earlier answers.
    fn hit(&mut self, index: usize, pieces: usize) -> &guess_hit {
        assert!(index < HITS, "the program numbers its hits below HITS");
        assert!(pieces <= MAX_PIECES, "a plan has no more pieces");
        let bytes = offset_of!(guess_hit, arena) + pieces * PIECE_BYTES as usize;
        let first = self.map.as_ptr().wrapping_add(size_of::<guess_request>());
        let from = first.cast::<guess_hit>().wrapping_add(index);
        let to = &raw mut *self.hit;
        // SAFETY: the assertions keep the bytes inside the mapping's hit and ours, which do not
        // overlap; any bytes are a valid guess_hit.
        unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), bytes) };
        &self.hit
    }
}

const fn number(event: Event) -> guess_event {
    match event {
        Event::Packet => guess_event::GUESS_PACKET,
        Event::SockState => guess_event::GUESS_SOCK_STATE,
        Event::Route4 => guess_event::GUESS_ROUTE4,
        Event::Route6 => guess_event::GUESS_ROUTE6,
    }
}

impl Drop for Exchange {
    /// Erases kernel memory from the map, so that nobody can read it later.
    fn drop(&mut self) {
        let start = self.map.as_mut_ptr();
        // SAFETY: the mapping is MAP_BYTES long and writable, and nothing refers into it.
        unsafe { start.write_bytes(0, MAP_BYTES) }
    }
}
