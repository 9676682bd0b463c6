//! A router as a network namespace: two uplinks, a LAN, and one route of each kind. Goes with
//! the value that stands for it.
//!
//! ```text
//!                    ┌──────────────── router ────────────────┐   192.0.2.1, 2001:db8:1::1
//!   10.1.0.0/24   ───┤ lan 10.1.0.1            up0 192.0.2.2  ├── default
//!   2001:db8:10::/64 │     2001:db8:10::1          ..:1::2    │   198.51.100.1, 2001:db8:2::1
//!                    │                         up1 198.51.100.2├── 203.0.113.0/24,
//!                    └────────────────────────────────────────┘   2001:db8:33::/48
//! ```

use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use netlink::netns::Namespace;
use serde_json::Value;

const SET_UP: &str = "
link set lo up
link add up0 type veth peer name up0-far
link add up1 type veth peer name up1-far
link add lan type veth peer name lan-far
link set up0 up
link set up0-far up
link set up1 up
link set up1-far up
link set lan up
link set lan-far up
address add 192.0.2.2/24 dev up0
address add 198.51.100.2/24 dev up1
address add 10.1.0.1/24 dev lan
route add default via 192.0.2.1
route add 203.0.113.0/24 via 198.51.100.1 src 192.0.2.2
route add 203.0.113.128/25 via inet6 fe80::1 dev up1
route add blackhole 10.66.0.0/16
route add unreachable 10.67.0.0/16
route add prohibit 10.68.0.0/16
route add throw 10.69.0.0/16
-6 address add 2001:db8:1::2/64 dev up0 nodad
-6 address add 2001:db8:2::2/64 dev up1 nodad
-6 address add 2001:db8:10::1/64 dev lan nodad
-6 route add default via 2001:db8:1::1
-6 route add 2001:db8:33::/48 via 2001:db8:2::1
-6 route add blackhole 2001:db8:66::/48
-6 route add unreachable 2001:db8:67::/48
-6 route add prohibit 2001:db8:68::/48
-6 route add throw 2001:db8:69::/48
";

/// The router's namespace.
pub struct Router {
    name: String,
}

impl Router {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sx-{}-gw{number}", std::process::id());
        ip(&["netns", "add", &name]);
        let router = Self { name };
        for line in SET_UP.trim().lines() {
            router.ip(line);
        }
        router.write("net/ipv4/ip_forward", "1");
        router.write("net/ipv6/conf/all/forwarding", "1");
        router
    }

    /// `ip` in this namespace, with these words.
    pub fn ip(&self, words: &str) -> String {
        let mut args = vec!["-n", self.name.as_str()];
        args.extend(words.split_whitespace());
        ip(&args)
    }

    /// What `ip -j route get` answers, `None` if it refuses.
    pub fn oracle(&self, words: &str) -> Option<Value> {
        let output = Command::new("ip")
            .args(["-n", &self.name, "-j", "route", "get"])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        output.status.success().then(|| answer[0].clone())
    }

    /// Sets a file in `/proc/sys` of this namespace.
    pub fn write(&self, file: &str, value: &str) {
        let namespace = Namespace::open(self.path().as_ref()).unwrap();
        let path = format!("/proc/sys/{file}");
        namespace
            .run(|| std::fs::write(path, value))
            .unwrap()
            .unwrap();
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    pub fn inum(&self) -> u32 {
        Namespace::open(self.path().as_ref()).unwrap().inum()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // A failing test has been reported already; a namespace that stays is reported here.
        let output = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .output();
        if !output.is_ok_and(|output| output.status.success()) {
            eprintln!("ip netns delete {}: failed", self.name);
        }
    }
}

fn ip(args: &[&str]) -> String {
    let output = Command::new("ip").args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {stderr}", args.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
