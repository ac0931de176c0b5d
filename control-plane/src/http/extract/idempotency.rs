//! `Idempotency-Key`: a creation that is repeated creates nothing more, and is answered as it was the first time.
//!
//! The answer is kept in the transaction that creates, so there is either both or neither, and a creation that fails leaves
//! nothing behind. Whoever repeats it at the same time waits for that transaction.
//!
//! An answer can hold the text of a key, which is stored nowhere. So it is sealed with a key that is derived from the text of the
//! caller's management key and the idempotency key; and so are the place where it is kept and the fingerprint of the request.
//! Nothing that is stored opens it, or says whose it is.
//!
//! In a handler, what is wrong with the body whenever it is sent is refused first. Then comes [`Idempotency::create`], and in it
//! all that depends on the time or on what there is: a repeated request must not be refused for what the first one did.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared::{Timestamp, caller, entropy::Entropy};
use utoipa::IntoParams;

use super::{access::authorization, body};
use crate::{
    entropy::OsEntropy,
    events::Actor,
    http::{Error, RequestError},
    service::{self, Change, Transaction, commit},
    state::AppState,
    storage::{Priority, idempotency as storage},
};

/// The header, as documents show it.
pub const HEADER: &str = "Idempotency-Key";
/// The longest key.
const KEY_MAX_LENGTH: usize = 255;
const NONCE_LENGTH: usize = 24;

/// The header, for the documentation.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read by the OpenAPI document alone; `Idempotent` reads the header")]
pub struct IdempotencyKey {
    /// A unique value of your choice, such as a UUID: 1 to 255 printable ASCII characters. If you repeat the request
    /// with the same key and the same body within 24 hours, nothing more is created. The response is that of the first
    /// request, with the header `Idempotent-Replayed: true`.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    idempotency_key: Option<String>,
}

/// The body of a request that creates something, and what it takes to create it once.
pub struct Idempotent<B>(pub B, pub Idempotency);

impl<B: FromRequest<AppState, Rejection = Error>> FromRequest<AppState> for Idempotent<B> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        let body = body::read(Request::new(body), body::LIMIT).await?;
        let idempotency = Idempotency::of(&parts, &body)?;
        let request = Request::from_parts(parts, Body::from(body));
        Ok(Self(B::from_request(request, state).await?, idempotency))
    }
}

/// What a request says of being repeated.
pub struct Idempotency {
    /// Made of the text of the caller's management key, and as secret as that.
    caller: Hkdf<Sha256>,
    request: [u8; 32],
    name: Option<Name>,
}

/// What a request and its repetitions have in common.
enum Name {
    Given(String),
    Itself,
}

/// What there is to do.
pub enum Claim {
    /// Create it, and keep the answer.
    New(Claimed),
    /// It was created. This is the answer.
    Replay(Answer),
}

/// The place of an answer, taken until the transaction ends.
#[must_use = "an answer that is not kept cannot be given again"]
pub struct Claimed(Option<Place>);

/// Where an answer is kept, and how.
struct Place {
    id: storage::Place,
    fingerprint: [u8; 32],
    cipher: XChaCha20Poly1305,
}

/// What a creation is answered. It may hold the text of a key, so it can be neither printed nor serialized.
pub struct Answer {
    status: StatusCode,
    body: SecretString,
    is_replayed: bool,
}

impl Idempotency {
    fn of(parts: &Parts, body: &[u8]) -> Result<Self, Error> {
        let caller = Hkdf::new(None, caller::management_key(authorization(&parts.headers))?.as_bytes());
        let request = Sha256::new()
            .chain_update(parts.method.as_str())
            .chain_update([0])
            .chain_update(parts.uri.path())
            .chain_update([0])
            .chain_update(body);
        let name = given_key(&parts.headers)?.map(Name::Given);
        Ok(Self { caller, request: request.finalize().into(), name })
    }

    /// The same, named by itself if the caller gave it no name: whatever request is equal repeats it.
    pub fn or_itself(self) -> Self {
        Self { name: self.name.or(Some(Name::Itself)), ..self }
    }

    /// Whether the caller gave it a name.
    pub const fn is_named(&self) -> bool {
        matches!(self.name, Some(Name::Given(_)))
    }

    /// Creates something in a transaction, and answers with it. If this was answered before, it creates nothing.
    ///
    /// Only for creations that wait for nobody: a repeated request does not resume the wait for the edge. A handler whose
    /// change waits uses [`Idempotency::claim`] and [`Claimed::keep`], as that of a rotation does.
    pub async fn create<V: Serialize>(
        self,
        state: &AppState,
        actor: Actor,
        create: impl AsyncFnOnce(&mut Transaction, Timestamp, &mut OsEntropy) -> service::Result<(V, Change)>,
    ) -> Result<Answer, Error> {
        let entropy = &mut OsEntropy;
        let (mut transaction, now) = state.begin(actor, Priority::Normal).await?;
        let claimed = match self.claim(&mut transaction, now).await? {
            Claim::New(claimed) => claimed,
            Claim::Replay(answer) => return Ok(answer),
        };
        let (view, change) = create(&mut transaction, now, entropy).await?;
        let answer = claimed.keep(&mut transaction, StatusCode::CREATED, &view, entropy).await?;
        commit(transaction, change, now).await?;
        Ok(answer)
    }

    /// Finds out whether this was answered before, and makes sure that no one else answers it until the transaction ends.
    pub async fn claim(self, transaction: &mut Transaction, now: Timestamp) -> Result<Claim, Error> {
        let Some(name) = &self.name else { return Ok(Claim::New(Claimed(None))) };
        let place = self.place(name)?;
        let newer_than = now.plus_millis(-storage::KEPT_MILLIS);
        if storage::claim(transaction.conn(), &place.id, &place.fingerprint, now, newer_than).await? {
            return Ok(Claim::New(Claimed(Some(place))));
        }
        let kept = storage::get(transaction.conn(), &place.id).await?;
        let kept = kept.ok_or_else(|| Error::Internal(anyhow::anyhow!("a place that is taken is not there")))?;
        if kept.fingerprint != place.fingerprint {
            return Err(RequestError::IdempotencyKeyReused.into());
        }
        let answer = kept.answer.and_then(|sealed| place.open(&sealed));
        let answer = answer.ok_or_else(|| Error::Internal(anyhow::anyhow!("an answer that was kept cannot be opened")));
        answer.map(Claim::Replay)
    }

    fn place(&self, name: &Name) -> Result<Place, Error> {
        let (mut id, mut fingerprint, mut key) = ([0; 32], [0; 32], [0; 32]);
        self.derive("latchkey v1 idempotent id", name, &[], &mut id)?;
        self.derive("latchkey v1 idempotent fingerprint", name, &self.request, &mut fingerprint)?;
        self.derive("latchkey v1 idempotent answer", name, &[], &mut key)?;
        Ok(Place { id, fingerprint, cipher: XChaCha20Poly1305::new(&key.into()) })
    }

    fn derive(&self, label: &str, name: &Name, more: &[u8], bytes: &mut [u8]) -> Result<(), Error> {
        let (kind, name) = match name {
            Name::Given(name) => (" given ", name.as_bytes()),
            Name::Itself => (" itself ", self.request.as_slice()),
        };
        // No label holds the name of a kind, no given name a zero byte, and all requests are equally long, so no two lists of
        // parts are the same bytes.
        let parts = [label.as_bytes(), kind.as_bytes(), name, &[0], more];
        let derived = self.caller.expand_multi_info(&parts, bytes);
        derived.map_err(|error| Error::Internal(anyhow::anyhow!("a key cannot be derived: {error}")))
    }
}

impl Claimed {
    /// Makes the answer, and keeps it for whoever repeats the request.
    pub async fn keep(
        self,
        transaction: &mut Transaction,
        status: StatusCode,
        body: &impl Serialize,
        entropy: &mut impl Entropy,
    ) -> Result<Answer, Error> {
        let body = serde_json::to_string(body).map_err(|error| Error::Internal(error.into()))?;
        let answer = Answer { status, body: body.into(), is_replayed: false };
        if let Some(place) = self.0 {
            storage::keep(transaction.conn(), &place.id, &place.seal(&answer, entropy)?).await?;
        }
        Ok(answer)
    }
}

/// The nonce, and then, encrypted, two bytes of status and the body.
impl Place {
    fn seal(&self, answer: &Answer, entropy: &mut impl Entropy) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LENGTH];
        entropy.fill(&mut nonce);
        let plain = [&answer.status.as_u16().to_be_bytes(), answer.body.expose_secret().as_bytes()].concat();
        let payload = Payload { msg: &plain, aad: &self.id };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::Internal(anyhow::anyhow!("an answer cannot be sealed")))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, sealed: &[u8]) -> Option<Answer> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LENGTH>()?;
        let payload = Payload { msg: sealed, aad: &self.id };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let (status, body) = plain.split_first_chunk()?;
        let status = StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?;
        let body = String::from_utf8(body.to_vec()).ok()?;
        Some(Answer { status, body: body.into(), is_replayed: true })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = self.body.expose_secret().to_owned();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self.is_replayed {
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

/// The header, if it is there.
fn given_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let is_printable = |key: &&str| key.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let key = key.to_str().ok().filter(is_printable).filter(|key| (1..=KEY_MAX_LENGTH).contains(&key.len()));
    match key {
        Some(key) if given.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(RequestError::InvalidIdempotencyKey.into()),
    }
}

#[cfg(test)]
mod tests;
