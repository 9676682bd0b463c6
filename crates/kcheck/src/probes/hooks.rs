//! Hooks: a program is loaded and attached, and must count what our own thread then does. A hook that
//! attaches may never fire: functions get inlined, and tracepoints compiled out.

use std::fs;
use std::io;
use std::path::Path;

use libbpf_rs::Link;
use libbpf_rs::ProgramMut;

use crate::bpf;
use crate::bpf::Loaded;
use crate::errno::HasErrno as _;
use crate::probe::Answer;
use crate::probe::Attempt;
use crate::probe::During as _;
use crate::probe::Obstacle;
use crate::probe::Verdict;

use super::loopback;
use super::token::Token;

/// Packets sent before a hook counts as silent.
const TRIES: u32 = 3;

/// The raw tracepoint of every packet that is queued for transmission.
pub fn net_dev_queue(token: &Token) -> Attempt {
    fires("on_net_dev_queue", token, |program| {
        program
            .attach_raw_tracepoint("net_dev_queue")
            .during("attach of raw tracepoint net_dev_queue")
    })
}

/// A kprobe on a function that every UDP packet of ours passes.
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
        Err(Obstacle::Answered(Answer { errno: None, .. })) if !tracked => {
            Err(Obstacle::undecided(
                "it attaches, but no connection is tracked here that could fire it",
            ))
        }
        other => other,
    }
}

/// fentry on the same function: a trampoline instead of a breakpoint.
pub fn fentry(token: &Token) -> Attempt {
    fires("enter_udp_sendmsg", token, |program| {
        program
            .attach_trace()
            .during("attach of fentry udp_sendmsg")
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

/// Attaches by the kernel's own kprobe events. On a kernel without them (before 4.17) libbpf would make an
/// event in tracefs, which everyone sees, so that is not tried.
fn attach_kprobe(program: &ProgramMut<'_>, function: &str) -> Result<Link, Obstacle> {
    let events = Path::new("/sys/bus/event_source/devices");
    if !events.is_dir() {
        return Err(Obstacle::undecided("sysfs does not show event sources"));
    }
    let attach = format!("attach of kprobe {function}");
    match fs::read_to_string(events.join("kprobe/type")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let detail = "the program loads, but the kernel has no kprobe events to attach it to";
            return Err(Obstacle::Answered(Answer {
                errno: error.kernel_errno(),
                ..Answer::new(Verdict::No, detail)
            }));
        }
        other => other.during(&attach)?,
    };
    program.attach_kprobe(false, function).during(attach)
}
