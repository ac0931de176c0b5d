//! A TCP proxy that stops delivering when it is told to, and closes nothing: what a client sees of a server whose host
//! lost power, of a firewall that forgot a connection, or of a network that is cut in two.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A running proxy.
#[derive(Debug)]
pub struct SilentProxy {
    /// Where it listens.
    pub port: u16,
    network: Arc<Network>,
}

#[derive(Debug, Default)]
struct Network {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many connections were accepted so far. Each has the number that it was then.
    accepted: u64,
    /// Connections up to this one never deliver anything again.
    dead_up_to: u64,
    /// Whether nothing is delivered at all at present.
    is_silent: bool,
}

impl SilentProxy {
    /// Starts one in front of a server. It delivers at first.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let network = Arc::new(Network::default());
        let its_network = Arc::clone(&network);
        // It ends with the test program. Until then it may wait for a connection that never comes; that costs nothing.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let network = Arc::clone(&its_network);
                let number = network.accept();
                thread::spawn(move || connect(number, &client, server, &network));
            }
        });
        Self { port, network }
    }

    /// Connections that are open now deliver nothing from now on, and are not closed. New ones work. Returns how many
    /// there have been so far.
    pub fn silence_open_connections(&self) -> u64 {
        let mut state = self.network.lock();
        state.dead_up_to = state.accepted;
        state.accepted
    }

    /// Nothing is delivered until [`Self::heal`]. New connections are accepted.
    pub fn silence(&self) {
        self.network.lock().is_silent = true;
    }

    /// What is on its way is delivered, and everything that comes.
    pub fn heal(&self) {
        self.network.lock().is_silent = false;
        self.network.changed.notify_all();
    }
}

impl Network {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self) -> u64 {
        let mut state = self.lock();
        state.accepted += 1;
        state.accepted
    }

    /// Returns once this connection may deliver, which may be never.
    fn wait(&self, number: u64) {
        let mut state = self.lock();
        while state.is_silent || number <= state.dead_up_to {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn connect(number: u64, client: &TcpStream, server: SocketAddr, network: &Network) {
    network.wait(number);
    let Ok(server) = TcpStream::connect(server) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    thread::scope(|scope| {
        scope.spawn(|| copy(number, client, &server, network));
        copy(number, &server, client, network);
    });
}

/// Copies one direction to its end. A silent connection does not end either: it stays in `wait`.
fn copy(number: u64, mut from: &TcpStream, mut to: &TcpStream, network: &Network) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        network.wait(number);
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            // Both ends, so that the other direction ends as well.
            let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
            return;
        }
    }
}
