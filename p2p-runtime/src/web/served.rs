//! Routes that can be listed, so that nothing is served that is missing where all of them have to be named. axum's own router lists none.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    handler::Handler,
    routing::{MethodRouter, any, get, post},
};
use http::Method;

use super::state::WebState;

/// A route that a node serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedRoute {
    /// The method of HTTP; `None` where each is answered.
    pub method: Option<Method>,
    /// The path; parts that vary are in braces, such as in `/internal/descriptor/{service}`.
    pub path: String,
}

impl fmt::Display for ServedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_ref().map_or("ANY", Method::as_str), self.path)
    }
}

/// A router, and what it serves.
#[derive(Default)]
pub(super) struct Served {
    pub(super) router: Router<Arc<WebState>>,
    pub(super) routes: Vec<ServedRoute>,
}

impl Served {
    pub(super) fn get<T: 'static, H: Handler<T, Arc<WebState>>>(self, path: &str, handler: H) -> Self {
        self.with(Some(Method::GET), path, get(handler))
    }

    pub(super) fn post<T: 'static, H: Handler<T, Arc<WebState>>>(self, path: &str, handler: H) -> Self {
        self.with(Some(Method::POST), path, post(handler))
    }

    /// One that answers `POST` with layers of its own.
    pub(super) fn post_within(self, path: &str, post: MethodRouter<Arc<WebState>>) -> Self {
        self.with(Some(Method::POST), path, post)
    }

    pub(super) fn any<T: 'static, H: Handler<T, Arc<WebState>>>(self, path: &str, handler: H) -> Self {
        self.with(None, path, any(handler))
    }

    fn with(mut self, method: Option<Method>, path: &str, handler: MethodRouter<Arc<WebState>>) -> Self {
        self.routes.push(ServedRoute { method, path: path.to_owned() });
        self.router = self.router.route(path, handler);
        self
    }
}
