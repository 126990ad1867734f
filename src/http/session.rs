//! `/v1/session/{kind}/{id}`: one JSON document as a web resource. Any node takes any session.
//!
//! `GET` and `HEAD` show it, `PUT` makes or replaces it, `PATCH` merges into it (RFC 7396), `DELETE` deletes it. `ETag` is
//! the session's version, and `If-Match` and `If-None-Match` are judged by the session's primary together with the
//! change, never before it. `ETag` also follows a `PUT`, though the document comes back with other white space, order of
//! members and spelling of numbers: as JSON it is what was sent, and what could not be is refused (`strict`). The id is one
//! segment of the path, percent-encoded where it must be, and may be any bytes.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use super::{
    condition::{Conditions, etag},
    door::{Door, Outcome, Terms},
    lifespan,
    problem::{Problem, Taken},
    request_key::RequestKey,
    state::Shared,
    strict::document_of,
};
use crate::{
    Answered,
    error::{Error, ErrorKind},
    json::{Document, Json},
    session::{Session as _, SessionId},
};

const NODE: &str = "ringheir-node";
const JSON_PATCH: &[u8] = b"application/json-patch+json";
/// How often a conditional write looks again when the session changes between looking and writing.
const TRIES: u32 = 8;

/// One request to change a session.
#[derive(Clone)]
enum Write {
    Put(Document),
    Patch(Document),
    Delete,
}

/// What a write came to.
enum Written {
    Created,
    Replaced,
    Merged(Document),
    Deleted,
    WasAbsent,
}

/// Shows a session.
pub(super) async fn read<D: Door>(
    State(shared): State<Arc<Shared<D>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = session_of(&uri)?;
    let conditions = Conditions::of(&headers)?;
    let terms = Terms { expected: None, life: None, request: None, deadline: shared.settings.deadline };
    let asked = shared.door()?.get(id.clone(), terms);
    // The node keeps the deadline; this is for the day when it does not.
    let late = |_| Problem::from(ErrorKind::Deadline);
    let Answered { reply, version, node } = timeout(shared.settings.deadline * 2, asked).await.map_err(late)??;
    let Some(document) = reply else { return Err(absent(&id).into()) };
    if !conditions.match_holds(version) {
        return Err(Problem::precondition_failed(version));
    }
    let response = if conditions.none_match_holds(version) {
        shown(StatusCode::OK, &document)?
    } else {
        StatusCode::NOT_MODIFIED.into_response()
    };
    Ok(marked(response, version, node.name.as_str()))
}

/// Changes a session.
pub(super) async fn write<D: Door>(
    State(shared): State<Arc<Shared<D>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id = session_of(&uri)?;
    let conditions = Conditions::of(&headers)?;
    let request = RequestKey::of(&headers)?;
    if method == Method::DELETE {
        lifespan::none_for_a_deletion(&headers)?;
    }
    let life = lifespan::of(&headers)?;
    let door = shared.door()?;
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if method == Method::PATCH && content_type.to_ascii_lowercase().starts_with(JSON_PATCH) {
        return Err(Problem::unsupported("JSON Patch; a merge patch is taken", Taken::MergePatch));
    }
    let arrived = shared.bodies.read(&headers, body).await?;
    let write = match method {
        Method::PUT => Write::Put(document_of(&arrived.bytes)?),
        Method::PATCH => Write::Patch(document_of(&arrived.bytes)?),
        _ => Write::Delete,
    };
    let terms = Terms { expected: None, life, request, deadline: shared.settings.deadline };
    let attempts = attempt_under(door, &id, &write, &conditions, terms);
    // The node keeps the deadline; should it not, nobody knows what became of the write.
    let late = |_| Problem::from(ErrorKind::OutcomeUnknown);
    let written = timeout(shared.settings.deadline * 2, attempts).await.map_err(late)??;
    let response = match written.reply {
        Written::Created => StatusCode::CREATED.into_response(),
        Written::Replaced => StatusCode::NO_CONTENT.into_response(),
        Written::Merged(document) => shown(StatusCode::OK, &document)?,
        Written::Deleted => {
            let response = StatusCode::NO_CONTENT.into_response();
            return Ok(marked(response, 0, written.node.name.as_str()));
        }
        Written::WasAbsent => return Err(absent(&id).into()),
    };
    drop(arrived);
    Ok(marked(response, written.version, written.node.name.as_str()))
}

/// Writes; where a precondition cannot be put as one expected version, expects one and learns from being wrong.
async fn attempt_under<D: Door>(
    door: &D,
    id: &SessionId,
    write: &Write,
    conditions: &Conditions,
    mut terms: Terms,
) -> Result<Answered<Written>, Problem> {
    terms.expected = conditions.first_guess();
    let mut seen = 0;
    for _ in 0..TRIES {
        let error = match attempt(door, id.clone(), write.clone(), terms.clone()).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        let ErrorKind::Conflict { current } = *error.kind() else { return Err(error.into()) };
        if !conditions.given() {
            return Err(error.into());
        }
        // RFC 9110, 13.2.1: what would have failed without its precondition fails as it would have without.
        if current == 0 && matches!(write, Write::Delete) {
            return Err(absent(id).into());
        }
        if !conditions.allow(current) {
            return Err(Problem::precondition_failed(current));
        }
        terms.expected = Some(current);
        seen = current;
    }
    Err(Problem::kept_changing(seen))
}

async fn attempt<D: Door>(door: &D, id: SessionId, write: Write, terms: Terms) -> Outcome<Written> {
    let with = |version, node, reply| Ok::<_, Error>(Answered { reply, version, node });
    match write {
        Write::Put(document) => {
            let put = door.put(id, document, terms).await?;
            with(put.version, put.node, if put.reply.created { Written::Created } else { Written::Replaced })
        }
        Write::Patch(patch) => {
            let patched = door.patch(id, patch, terms).await?;
            with(patched.version, patched.node, Written::Merged(patched.reply))
        }
        Write::Delete => {
            let deleted = door.delete(id, terms).await?;
            with(deleted.version, deleted.node, if deleted.reply { Written::Deleted } else { Written::WasAbsent })
        }
    }
}

/// There is no session under that id, and how one is made.
fn absent(id: &SessionId) -> Error {
    let id: String = id.to_string().chars().take(128).collect();
    Error::new(ErrorKind::NoSuchSession).because(format!("{}/{id}; PUT makes it", Json::KIND))
}

fn shown(status: StatusCode, document: &Document) -> Result<Response, Problem> {
    let text = serde_json::to_string(&document.0).map_err(|_| Problem::from(ErrorKind::Unencodable))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Adds what every answer of a session carries. No cache may answer for it without asking.
fn marked(mut response: Response, version: u64, node: &str) -> Response {
    let headers = response.headers_mut();
    if version != 0 {
        headers.insert(header::ETAG, etag(version));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(node) = HeaderValue::from_str(node) {
        headers.insert(NODE, node);
    }
    response
}

/// Kind and id are the last two segments; decoded here, since an id need not be text.
fn session_of(uri: &Uri) -> Result<SessionId, Problem> {
    let mut segments = uri.path().rsplit('/');
    let id = decoded(segments.next().unwrap_or_default());
    let kind = decoded(segments.next().unwrap_or_default());
    let (Some(id), Some(kind)) = (id, kind) else {
        return Err(Problem::bad_request("the path has a % that is not followed by two hex digits"));
    };
    if kind != Json::KIND.as_bytes() {
        return Err(ErrorKind::NoSuchKind { kind: String::from_utf8_lossy(&kind).chars().take(64).collect() }.into());
    }
    Ok(SessionId::new(id).map_err(Error::from)?)
}

fn decoded(segment: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_of_any_bytes() {
        let id = |path: &'static str| session_of(&Uri::from_static(path)).map(|id| id.as_bytes().to_vec());
        assert_eq!(id("/v1/session/json/cart-7").expect("plain"), b"cart-7");
        assert_eq!(id("/app/v1/session/json/a%2Fb%20%ff+%7Bx%7d").expect("encoded"), b"a/b \xff+{x}");
        for wrong in [
            "/v1/session/json/%",
            "/v1/session/json/%zz",
            "/v1/session/json/%f",
            "/v1/session/json/",
            "/v1/session/x/1",
        ] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
