//! The network of `tests/scenes/lab.sh` as a value: up while it lives, gone when it is dropped. Each
//! test has its own; tests can run side by side.

use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use harness::Running;
use harness::built;
use harness::in_namespace;
use harness::run;
use harness::unique;

/// Client, router and server, a network namespace each.
pub struct Testbed {
    prefix: String,
}

impl Testbed {
    /// Builds it.
    ///
    /// # Panics
    /// If that fails; most likely the test does not run as root.
    #[must_use]
    pub fn up() -> Self {
        let testbed = Self { prefix: unique() };
        let _ = run(&mut script("up", &testbed.prefix)).success();
        testbed
    }

    /// Name of one of its namespaces: `client`, `router`, `server`.
    #[must_use]
    pub fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// Inode of that namespace.
    ///
    /// # Panics
    /// If the namespace is gone.
    #[must_use]
    pub fn inode(&self, role: &str) -> u32 {
        harness::inode(&self.namespace(role))
    }

    /// The server's echoes, for both address families and protocols.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn serve(&self) -> Running {
        let mut command = in_namespace(&self.namespace("server"), built("traffic"));
        command.args([
            "serve",
            "tcp:10.77.3.2:8080",
            "udp:10.77.3.2:5353",
            "tcp:[fd77:3::2]:8080",
            "udp:[fd77:3::2]:5353",
        ]);
        let mut server = Running::start(command.stdin(Stdio::piped()));
        assert_eq!(server.line(), "ready\n");
        server
    }

    /// Runs `traffic` on the client; what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn traffic(&self, args: &[&str]) -> String {
        let mut command = in_namespace(&self.namespace("client"), built("traffic"));
        run(command.args(args)).success()
    }

    /// Calls an end from the client; gives the client's own address and port.
    ///
    /// # Panics
    /// If the call is not answered.
    #[must_use]
    pub fn call(&self, end: &str) -> String {
        let said = self.traffic(&["call", end]);
        let caller = said.split(' ').nth(1);
        caller.expect("traffic prints who called").to_owned()
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        let _ = script("down", &self.prefix).status();
    }
}

fn script(verb: &str, prefix: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenes/lab.sh"))
        .args([verb, prefix]);
    command
}
