//! Hooks: a program is loaded, attached, and must count what our own thread then does. Attached
//! is not firing: functions get inlined, and tracepoints compiled out.

use std::fs;
use std::io;
use std::path::Path;

use libbpf_rs::Link;
use libbpf_rs::ProgramMut;

use crate::bpf;
use crate::bpf::Loaded;
use crate::errno::KernelErrno;
use crate::probe::Attempt;
use crate::probe::Obstacle;

use super::loopback;
use super::token::Token;

/// How often a silent hook gets another packet.
const TRIES: u32 = 3;

/// The raw tracepoint of every packet that is about to be transmitted.
pub fn net_dev_queue(token: &Token) -> Attempt {
    fires("on_net_dev_queue", token, |program| {
        program
            .attach_raw_tracepoint("net_dev_queue")
            .map_err(|error| Obstacle::libbpf("attach of raw tracepoint net_dev_queue", &error))
    })
}

/// A kprobe on a function that every UDP packet we send passes.
pub fn kprobe(token: &Token) -> Attempt {
    fires("on_udp_sendmsg", token, |program| {
        attach_kprobe(program, "udp_sendmsg")
    })
}

/// The kprobe that `conntrack --source kprobe` uses.
pub fn kprobe_confirm(token: &Token, tracked: bool) -> Attempt {
    let attempt = fires("on_nf_conntrack_confirm", token, |program| {
        attach_kprobe(program, "__nf_conntrack_confirm")
    });
    match attempt {
        Err(Obstacle::Absent { errno: None, .. }) if !tracked => Err(Obstacle::Undecided(
            "it attaches, but no connection is tracked here that could fire it".into(),
        )),
        other => other,
    }
}

/// fentry on the same function, by a trampoline in place of a breakpoint.
pub fn fentry(token: &Token) -> Attempt {
    fires("enter_udp_sendmsg", token, |program| {
        program
            .attach_trace()
            .map_err(|error| Obstacle::libbpf("attach of fentry udp_sendmsg", &error))
    })
}

fn fires(
    program: &'static str,
    token: &Token,
    attach: impl FnOnce(&ProgramMut<'_>) -> Result<Link, Obstacle>,
) -> Attempt {
    let loaded = Loaded::load(program, &[bpf::WHOSE, bpf::TRACE])?;
    loaded.store(bpf::WHOSE, &0_u32.to_ne_bytes(), &token.comm())?;
    let link = attach(&loaded.program())?;
    for _ in 0..TRIES {
        loopback::send_datagram()?;
        if loaded.trace()? > 0 {
            drop(link);
            return Ok("loads, attaches and fires on our own packet".into());
        }
    }
    Err(Obstacle::absent("loads and attaches, but does not fire"))
}

/// By the kernel's own kprobe events. libbpf's way around a kernel without them (before 4.17)
/// leads through tracefs and makes an event for everyone to see, so it is not gone.
fn attach_kprobe(program: &ProgramMut<'_>, function: &str) -> Result<Link, Obstacle> {
    let events = Path::new("/sys/bus/event_source/devices");
    if !events.is_dir() {
        return Err(Obstacle::Undecided(
            "sysfs does not show event sources".into(),
        ));
    }
    fs::read_to_string(events.join("kprobe/type")).map_err(|error| {
        let errno = KernelErrno::of_io(&error);
        if error.kind() == io::ErrorKind::NotFound {
            let seen = "the program loads, but the kernel has no kprobe events to attach it to";
            let seen = seen.to_owned();
            return Obstacle::Absent { seen, errno };
        }
        Obstacle::refused(format!("attach of kprobe {function}"), errno)
    })?;
    program
        .attach_kprobe(false, function)
        .map_err(|error| Obstacle::libbpf(format!("attach of kprobe {function}"), &error))
}
