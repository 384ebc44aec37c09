//! OpenRPC 1.3 from descriptors: the same methods, as `POST /rpc` takes them.

use p2p_client::protocol::{ErrorCode, MethodDescriptor, ParamDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use super::{About, components::Components, first_line};

/// The OpenRPC document of these services: what `rpc.discover` answers. Each service's types stand in the components as
/// `service.Type`.
pub fn openrpc(services: &[ServiceDescriptor], about: &About) -> Value {
    let (mut methods, mut schemas) = (Vec::new(), Map::new());
    for service in services {
        let components = Components::of(service);
        schemas.extend(components.schemas(service));
        methods.extend(service.methods.iter().map(|each| method(service, each, &components)));
    }
    json!({
        "openrpc": "1.3.2",
        "info": { "title": about.title, "version": about.version, "description": about.text() },
        "methods": methods,
        "components": { "schemas": schemas },
    })
}

fn method(service: &ServiceDescriptor, method: &MethodDescriptor, components: &Components) -> Value {
    // OpenRPC wants what is required to stand first. Where it does not, the positions are not those of the list.
    let in_order = method.params.windows(2).all(|pair| pair[0].required || !pair[1].required);
    let (first, last): (Vec<_>, Vec<_>) = method.params.iter().partition(|param| param.required);
    let params: Vec<_> = first.into_iter().chain(last).map(|each| param(each, components)).collect();
    let mut described = json!({
        "name": format!("{}/{}", service.name, method.name),
        "tags": [{ "name": service.name, "description": service.description }],
        "paramStructure": if in_order { "either" } else { "by-name" },
        "params": params,
        "result": { "name": "result", "schema": components.schema(&method.result) },
        "x-p2p-access": method.access,
        "x-p2p-idempotent": method.idempotent,
        "x-p2p-read-only": method.read_only,
        "x-p2p-detached": method.detached,
    });
    if !method.description.is_empty() {
        described["summary"] = first_line(&method.description).into();
        described["description"] = method.description.clone().into();
    }
    if let Some(timeout) = method.timeout_ms {
        described["x-p2p-timeout-ms"] = timeout.into();
    }
    if let Some(item) = &method.item {
        // The format knows results only; these come before it, in the forms of docs/streams.md.
        described["x-p2p-item"] = components.schema(item);
    }
    if let Some(own) = &method.error {
        // The format has a place for an error's data, and none for their schema.
        let message = "the method's own error; its data fit the schema that stands here as data";
        described["errors"] = json!([{ "code": ErrorCode::SERVICE, "message": message, "data": components.schema(own) }]);
    }
    described
}

fn param(param: &ParamDescriptor, components: &Components) -> Value {
    json!({ "name": param.name, "required": param.required, "schema": components.schema(&param.schema) })
}
