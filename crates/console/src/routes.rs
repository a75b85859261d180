//! The routes: what is answered to whom.
//!
//! `/health` is for everybody and says nothing but that the process lives; the others need the
//! token where there is one. No route reads a body or changes anything.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use tokio::time::timeout;
use tracing::error;

use crate::server::Console;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// The text that a liveness probe gets; Hyperswitch's drainer answers alike.
const HEALTH: &str = "health is good";
/// What `prometheus-client` writes.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// All routes.
pub(crate) fn router(console: Arc<Console>) -> Router {
    let guarded = Router::new()
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&console),
            require_token,
        ));
    Router::new()
        .route("/health", get(|| async { HEALTH }))
        .merge(guarded)
        .layer(middleware::from_fn(within_time))
        .with_state(console)
}

async fn require_token(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if console.listen.admits(given.map(HeaderValue::as_bytes)) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
    (StatusCode::UNAUTHORIZED, challenge, "a token is needed\n").into_response()
}

async fn within_time(request: Request, next: Next) -> Response {
    match timeout(ANSWER_TIME_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => (StatusCode::SERVICE_UNAVAILABLE, "no answer in time\n").into_response(),
    }
}

async fn ready(State(console): State<Arc<Console>>) -> Response {
    let (is_ready, body) = console.probes.ask().await;
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let headers = [
        (header::CONTENT_TYPE, JSON),
        (header::CACHE_CONTROL, NO_STORE),
    ];
    (status, headers, body.to_string()).into_response()
}

async fn metrics(State(console): State<Arc<Console>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &console.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            error!(%error, "the metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
