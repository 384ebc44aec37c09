//! OpenAPI 3.1 from descriptors: one path for each method, `POST /rpc/{service}/{method}`.

use p2p_client::protocol::{Access, ErrorCode, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use super::{About, components::Components, first_line};

/// The OpenAPI document of these services.
///
/// Params are the body, an object by name; the result is the answer's body. Access is told as `security`, what else is
/// known of a method as
/// `x-p2p-…`. Each service's types stand in the components as `service.Type`.
pub fn openapi(services: &[ServiceDescriptor], about: &About) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for service in services {
        let components = Components::of(service);
        schemas.extend(components.schemas(service));
        for method in &service.methods {
            paths.insert(
                format!("/rpc/{}/{}", service.name, method.name),
                json!({ "post": operation(service, method, &components) }),
            );
        }
    }
    schemas.insert("Error".to_owned(), error(&json!({})));
    let tags: Vec<_> = services.iter().map(tag).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": about.title, "version": about.version, "description": about.text() },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": { "Error": response("The call failed.", &json!({ "$ref": "#/components/schemas/Error" })) },
            "parameters": parameters(),
            "securitySchemes": {
                "node": { "type": "mutualTLS", "description": "The certificate of a node of the cluster." },
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of a client." },
            },
        },
    })
}

fn tag(service: &ServiceDescriptor) -> Value {
    json!({ "name": service.name, "description": service.description, "x-p2p-version": service.version })
}

fn operation(service: &ServiceDescriptor, method: &MethodDescriptor, components: &Components) -> Value {
    let mut operation = json!({
        "operationId": format!("{}.{}", service.name, method.name),
        "tags": [service.name],
        "parameters": [{ "$ref": "#/components/parameters/on" }, { "$ref": "#/components/parameters/timeout" }],
        "requestBody": request_body(method, components),
        "responses": responses(method, components),
        "security": security(&method.access),
        "x-p2p-idempotent": method.idempotent,
        "x-p2p-read-only": method.read_only,
        "x-p2p-detached": method.detached,
    });
    if !method.description.is_empty() {
        operation["summary"] = first_line(&method.description).into();
        operation["description"] = method.description.clone().into();
    }
    if let Some(timeout) = method.timeout_ms {
        operation["x-p2p-timeout-ms"] = timeout.into();
    }
    operation
}

fn request_body(method: &MethodDescriptor, components: &Components) -> Value {
    let properties: Map<_, _> =
        method.params.iter().map(|param| (param.name.to_string(), components.schema(&param.schema))).collect();
    let required: Vec<_> = method.params.iter().filter(|param| param.required).map(|param| &param.name).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    json!({ "required": !required.is_empty(), "content": { "application/json": { "schema": schema } } })
}

/// What a method answers, by status.
fn responses(method: &MethodDescriptor, components: &Components) -> Value {
    let mut responses = Map::new();
    let given = match &method.item {
        None => response("The result.", &components.schema(&method.result)),
        Some(item) => stream(&components.schema(item)),
    };
    responses.insert("200".to_owned(), given);
    if let Some(own) = &method.error {
        responses.insert("422".to_owned(), response("The method's own error, in `data`.", &own_error(&components.schema(own))));
    }
    // Status by status, and not as the default: programs that write clients take that for something else than an error.
    for status in ["400", "403", "404", "4XX", "5XX"] {
        responses.insert(status.to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    }
    responses.into()
}

/// The answer of a method that streams, by the form that its client accepts: see docs/streams.md.
fn stream(item: &Value) -> Value {
    let line = json!({
        "oneOf": [
            { "type": "object", "properties": { "item": item }, "required": ["item"] },
            { "type": "object", "properties": { "result": { "type": "null" } }, "required": ["result"] },
            { "$ref": "#/components/schemas/Error" },
        ],
    });
    json!({
        "description": "The items, as they come: as lines of JSON, each of which fits the schema, or as Server-Sent Events, the data of \
                        which fit it. The last line has no `item`, and tells how the stream ended; so does the last event, `end` or `failed`.",
        "content": { "application/x-ndjson": { "schema": line }, "text/event-stream": { "schema": item } },
    })
}

fn response(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

/// The body of an answer that is no result; `data` is what its data can be.
fn error(data: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": { "type": "integer", "description": "The code of JSON-RPC: what kind of error it is." },
                    "message": { "type": "string", "description": "One sentence for people." },
                    "data": data,
                },
                "required": ["code", "message"],
            },
        },
        "required": ["error"],
    })
}

fn own_error(data: &Value) -> Value {
    let mut schema = error(data);
    let error = &mut schema["properties"]["error"];
    error["properties"]["code"]["const"] = ErrorCode::SERVICE.0.into();
    error["required"] = json!(["code", "message", "data"]);
    schema
}

fn parameters() -> Value {
    json!({
        "on": {
            "name": "on",
            "in": "query",
            "description": "Where the call is to go: `node=ID`, `role=ROLE`, `capability=LABEL` or `any`. What is answered \
                            is the result of the one node that was asked.",
            "schema": { "type": "string", "default": "any" },
        },
        "timeout": {
            "name": "p2p-timeout-ms",
            "in": "header",
            "description": "How long the caller waits, in milliseconds. Without it the method's own limit holds, or 30 seconds.",
            "schema": { "type": "integer", "minimum": 1 },
        },
    })
}

/// Who may call a method, as any one of several means. Of a node's certificate and of a token it is said which role and
/// which scope they must bear.
fn security(access: &Access) -> Value {
    match access {
        Access::Anonymous => json!([]),
        Access::Public => json!([{ "node": [] }, { "token": [] }]),
        Access::Scope(scope) => json!([{ "node": [] }, { "token": [scope] }]),
        Access::Role(role) => json!([{ "node": [role] }]),
        // What is new is closed until it is said here whom it is open to.
        _ => json!([{ "node": [] }]),
    }
}
