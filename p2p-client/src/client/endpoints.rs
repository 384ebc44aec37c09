//! [`Endpoints`]: the nodes that a client was told of, and which of them is asked.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{Uri, uri::Scheme};

use super::ClientError;
use crate::{protocol::NodeId, proxy::Peer};

/// A node that a client was told of.
pub(super) struct Endpoint {
    /// As it was told, and as callers are told of it.
    url: String,
    /// Its place and its address. Which node it is, nobody knows before it answers: the id here only tells endpoints apart.
    peer: Arc<Peer>,
    /// What was wrong when it did not take a call last.
    trouble: Mutex<String>,
}

impl Endpoint {
    /// The endpoint at `place` with this address.
    pub(super) fn new(place: usize, url: &str) -> Result<Self, ClientError> {
        let shown = without_password(url);
        let refuse = |reason: &str| ClientError::Url { url: shown.clone(), reason: reason.to_owned() };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| refuse(&error.to_string()))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => {}
            Some(scheme) if *scheme == Scheme::HTTP => return Err(ClientError::Plaintext { url: shown }),
            _ => return Err(refuse("it does not begin with https://")),
        }
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it holds a password; a client is named by its token"));
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(refuse("there is something after the host and the port"));
        }
        let authority = format!("{}:{}", uri.host().unwrap_or_default(), authority.port_u16().unwrap_or(443));
        let peer = Peer { node_id: NodeId::known(&format!("endpoint-{}", place + 1)), authority: authority.into() };
        Ok(Self { url: url.trim_end_matches('/').to_owned(), peer: Arc::new(peer), trouble: Mutex::default() })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A URL as errors show it: whatever stands before an `@` may be a password.
fn without_password(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    match url.rfind('@') {
        Some(at) if at >= begin => format!("{}…{}", &url[..begin], &url[at..]),
        _ => url.to_owned(),
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The nodes that a client was told of, one at least, and the one that is asked first.
#[derive(Debug)]
pub(super) struct Endpoints {
    all: Vec<Endpoint>,
    first: AtomicUsize,
}

impl Endpoints {
    pub(super) fn new(all: Vec<Endpoint>) -> Self {
        Self { all, first: AtomicUsize::new(0) }
    }

    /// Whom a call goes to: the one that took the last call, or the next that was not tried.
    pub(super) fn next(&self, tried: &[NodeId]) -> Option<&Arc<Peer>> {
        let (before, from) = self.all.split_at(self.first.load(Relaxed).min(self.all.len()));
        from.iter().chain(before).map(|endpoint| &endpoint.peer).find(|peer| !tried.contains(&peer.node_id))
    }

    /// The endpoint that a call went to.
    pub(super) fn of(&self, peer: &Peer) -> Option<&Endpoint> {
        self.all.iter().find(|endpoint| endpoint.peer.node_id == peer.node_id)
    }

    /// It took a call: it is asked first from now on.
    pub(super) fn took(&self, peer: &Peer) {
        if let Some(place) = self.place(peer) {
            self.first.store(place, Relaxed);
        }
    }

    /// It is not asked first any more.
    pub(super) fn avoid(&self, peer: &Peer) {
        if let Some(place) = self.place(peer) {
            // Unless somebody found another meanwhile.
            let _already_another = self.first.compare_exchange(place, (place + 1) % self.all.len(), Relaxed, Relaxed);
        }
    }

    /// It did not take a call, and why.
    pub(super) fn note(&self, peer: &Peer, reason: &str) {
        self.avoid(peer);
        if let Some(endpoint) = self.of(peer) {
            reason.clone_into(&mut endpoint.trouble.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// It did not take a call, and why. Says what the call's caller is told, should nobody else take it: where others were tried as well, what was
    /// wrong with each of them.
    pub(super) fn refused(&self, peer: &Peer, reason: String, tried: &[NodeId]) -> String {
        self.note(peer, &reason);
        if self.all.len() == 1 || self.next(&[tried, std::slice::from_ref(&peer.node_id)].concat()).is_some() {
            return reason;
        }
        let each = self.all.iter().enumerate().map(|(place, endpoint)| format!("({}) {}", place + 1, endpoint.trouble()));
        format!("none of the {} endpoints took the call: {}", self.all.len(), each.collect::<Vec<_>>().join("; "))
    }

    fn place(&self, peer: &Peer) -> Option<usize> {
        self.all.iter().position(|endpoint| endpoint.peer.node_id == peer.node_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Endpoints {
        let urls = ["https://10.0.0.5:8001", "https://[::1]:8002/", "https://node.example"];
        Endpoints::new(urls.iter().enumerate().map(|(place, url)| Endpoint::new(place, url).unwrap()).collect())
    }

    fn order(endpoints: &Endpoints) -> Vec<String> {
        let mut tried = Vec::new();
        let mut order = Vec::new();
        while let Some(peer) = endpoints.next(&tried) {
            tried.push(peer.node_id.clone());
            order.push(peer.authority.to_string());
        }
        order
    }

    #[test]
    fn the_one_that_took_the_last_call_is_asked_first_and_then_the_others_around() {
        let endpoints = three();
        assert_eq!(order(&endpoints), ["10.0.0.5:8001", "[::1]:8002", "node.example:443"]);
        let second = endpoints.all[1].peer.clone();
        endpoints.took(&second);
        assert_eq!(order(&endpoints), ["[::1]:8002", "node.example:443", "10.0.0.5:8001"]);
        endpoints.avoid(&second);
        assert_eq!(order(&endpoints)[0], "node.example:443");
        endpoints.avoid(&second);
        assert_eq!(order(&endpoints)[0], "node.example:443", "it was not asked first any more");
    }

    #[test]
    fn once_nobody_is_left_the_trouble_with_each_is_told() {
        let endpoints = three();
        let peers: Vec<Arc<Peer>> = endpoints.all.iter().map(|endpoint| endpoint.peer.clone()).collect();
        let tried: Vec<NodeId> = peers.iter().map(|peer| peer.node_id.clone()).collect();
        assert_eq!(endpoints.refused(&peers[0], "no".into(), &[]), "no");
        assert_eq!(endpoints.refused(&peers[1], "never".into(), &tried[..1]), "never");
        let said = endpoints.refused(&peers[2], "gone".into(), &tried[..2]);
        assert_eq!(said, "none of the 3 endpoints took the call: (1) no; (2) never; (3) gone");
    }

    #[test]
    fn what_is_no_address_of_a_node_is_refused_with_the_reason() {
        for (url, why) in [
            ("10.0.0.5:8001", "does not begin with https://"),
            ("ftp://10.0.0.5", "does not begin with https://"),
            ("https://", "empty"),
            ("", "empty"),
            ("https://10.0.0.5:8001/rpc", "after the host and the port"),
            ("https://10.0.0.5:8001/?on=all", "after the host and the port"),
            ("https://user:hunter2@10.0.0.5", "holds a password"),
            ("https://user:hunter2@10.0.0.5:99999", "port"),
            ("ftp://user:hunter2@10.0.0.5", "does not begin with https://"),
        ] {
            let said = Endpoint::new(0, url).err().unwrap().to_string();
            assert!(said.contains(why) && said.contains("https://10.0.0.5:8001"), "{url}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        let said = Endpoint::new(0, "http://user:hunter2@10.0.0.5").err().unwrap().to_string();
        assert!(said.contains("http://…@10.0.0.5") && !said.contains("hunter2"), "{said}");
    }
}
