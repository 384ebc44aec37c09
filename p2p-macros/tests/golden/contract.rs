/// Keeps values by key.
pub trait Kv: fmt::Debug + ::core::marker::Send + ::core::marker::Sync + 'static
where
    Self: Keeps<Value>,
{
    /// What is kept under `key`.
    fn get(
        &self,
        cx: &CallContext,
        key: &str,
    ) -> impl ::core::future::Future<
        Output = Result<Option<String>>,
    > + ::core::marker::Send;
    fn put(
        &self,
        key: String,
        value: String,
    ) -> impl ::core::future::Future<Output = Result<(), Full>> + ::core::marker::Send;
    #[doc(hidden)]
    const __P2P_ACCESS: &'static [(&'static str, ::p2p_client::__private::Access)] = &[
        ("get", ::p2p_client::__private::Access::Public),
        ("put", ::p2p_client::__private::Access::Nodes),
    ];
    #[doc(hidden)]
    fn __put_service_on_this_trait() -> &'static ::p2p_client::__private::ServiceSpec
    where
        Self: ::core::marker::Sized,
    {
        <KvProxy as ::p2p_client::__private::Contract<Self>>::spec()
    }
    #[doc(hidden)]
    fn __p2p_contract_local(
        self: ::std::sync::Arc<Self>,
        spec: &'static ::p2p_client::__private::ServiceSpec,
    ) -> ::std::sync::Arc<dyn ::p2p_client::__private::HostedService>
    where
        Self: ::core::marker::Sized,
    {
        <KvProxy as ::p2p_client::__private::Contract<Self>>::local(self, spec)
    }
}
///Calls the service `key_value` ([`Kv`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct KvProxy<K = ::p2p_client::__private::Anywhere> {
    core: ::p2p_client::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`KvProxy`].
#[allow(unreachable_pub)]
pub trait KvProxyExt {
    ///Calls to the service `key_value`.
    fn key_value(&self) -> KvProxy;
}
::p2p_client::__private::mocks! {
    #[doc =
    "Stands in for the service `key_value` ([`Kv`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockKv { mock : ::p2p_client::__private::ServiceMock, }
}
const _: () = {
    use ::p2p_client::__private as __p;
    pub trait __Object: ::core::marker::Send + ::core::marker::Sync + 'static {
        fn get<'a>(
            &'a self,
            cx: &'a __p::CallContext,
            values: (<str as __p::ToOwned>::Owned,),
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = Result<Option<String>>,
                > + ::core::marker::Send + 'a,
            >,
        >;
        fn put<'a>(
            &'a self,
            cx: &'a __p::CallContext,
            values: (String, String),
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = Result<(), Full>,
                > + ::core::marker::Send + 'a,
            >,
        >;
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl<__Host: Kv> __Object for __Host {
        fn get<'a>(
            &'a self,
            cx: &'a __p::CallContext,
            values: (<str as __p::ToOwned>::Owned,),
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = Result<Option<String>>,
                > + ::core::marker::Send + 'a,
            >,
        > {
            ::std::boxed::Box::pin(async move {
                let (__value_0,) = values;
                <__Host as Kv>::get(
                        self,
                        cx,
                        <_ as __p::Borrow<str>>::borrow(&__value_0),
                    )
                    .await
            })
        }
        fn put<'a>(
            &'a self,
            cx: &'a __p::CallContext,
            values: (String, String),
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = Result<(), Full>,
                > + ::core::marker::Send + 'a,
            >,
        > {
            ::std::boxed::Box::pin(async move {
                let _ = cx;
                let (__value_0, __value_1) = values;
                <__Host as Kv>::put(self, __value_0, __value_1).await
            })
        }
    }
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use __p::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: __p::LazyDescriptor = __p::LazyDescriptor::new(
        <dyn __Object as __p::Definition>::describe,
    );
    static __METHODS: [__p::MethodSpec; 2usize] = [
        __p::MethodSpec {
            service: __p::Cow::Borrowed("key_value"),
            name: __p::Cow::Borrowed("get"),
            path: __p::Cow::Borrowed("key_value/get"),
            index: 0usize,
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("key"),
                    },
                ],
            ),
            access: __p::Access::Public,
            idempotent: true,
            read_only: true,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::Some(
                ::core::time::Duration::from_millis(500u64),
            ),
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        __p::MethodSpec {
            service: __p::Cow::Borrowed("key_value"),
            name: __p::Cow::Borrowed("put"),
            path: __p::Cow::Borrowed("key_value/put"),
            index: 1usize,
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("key"),
                    },
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("value"),
                    },
                ],
            ),
            access: __p::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: __p::ServiceSpec = __p::ServiceSpec {
        name: __p::Cow::Borrowed("key_value"),
        version: __p::Cow::Borrowed("2.0.0"),
        methods: __p::Cow::Borrowed(&__METHODS),
        roles: __p::Cow::Borrowed(&[]),
    };
    fn __params_of_get() -> impl __p::ParamForms<(<str as __p::ToOwned>::Owned,)> {
        (
            __p::NoDefault(
                (&__p::Probe::<<str as __p::ToOwned>::Owned>::NEW).form(),
                ",\"key\":",
            ),
        )
    }
    fn __params_of_put() -> impl __p::ParamForms<(String, String)> {
        (
            __p::NoDefault((&__p::Probe::<String>::NEW).form(), ",\"key\":"),
            __p::NoDefault((&__p::Probe::<String>::NEW).form(), ",\"value\":"),
        )
    }
    #[allow(deprecated)]
    fn __serve_get<'a>(
        __object: &'a dyn __Object,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0,) = __p::read(
                __params_of_get(),
                __params,
                &__METHODS[0usize],
            )?;
            __p::encode_outcome::<
                Result<Option<String>>,
            >(
                (&__p::result_probe::<Result<Option<String>>>()).form(),
                __Object::get(__object, __cx, (__value_0,)).await,
            )
        })
    }
    #[allow(deprecated)]
    fn __serve_put<'a>(
        __object: &'a dyn __Object,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0, __value_1) = __p::read(
                __params_of_put(),
                __params,
                &__METHODS[1usize],
            )?;
            __p::encode_outcome::<
                Result<(), Full>,
            >(
                (&__p::result_probe::<Result<(), Full>>()).form(),
                __Object::put(__object, __cx, (__value_0, __value_1)).await,
            )
        })
    }
    #[automatically_derived]
    impl __p::Definition for dyn __Object {
        const SPEC: &'static __p::ServiceSpec = &__SERVICE;
        fn describe() -> __p::ServiceDescriptor {
            let mut __service = __p::Describe::new(&__SERVICE, "Keeps values by key.");
            __service
                .method::<
                    Result<Option<String>>,
                >(&__METHODS[0usize], "What is kept under `key`.");
            __service
                .param::<
                    <str as __p::ToOwned>::Owned,
                >("key", ::core::option::Option::None);
            __service.method::<Result<(), Full>>(&__METHODS[1usize], "");
            __service.param::<String>("key", ::core::option::Option::None);
            __service.param::<String>("value", ::core::option::Option::None);
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a __p::CallContext,
            __params: __p::Params<'a>,
        ) -> __p::ServeFuture<'a> {
            match __index {
                0usize => __serve_get(self, __cx, __params),
                1usize => __serve_put(self, __cx, __params),
                _ => __p::no_such_method("key_value", __cx, __params),
            }
        }
    }
    __p::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockKv { fn default()
        -> Self { Self::new() } } #[automatically_derived] impl ::core::ops::Deref for
        MockKv { type Target = __p::ServiceMock; fn deref(& self) -> & Self::Target { &
        self.mock } } #[allow(unreachable_pub, dead_code, private_interfaces,
        private_bounds)] #[automatically_derived] impl MockKv { #[doc =
        r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock :
        __p::ServiceMock::new(& __SERVICE, "MockKv", & ["on_get(|call, key| Ok(…))",
        "on_put(|call, key, value| Ok(…))"]) } } #[doc =
        "Says what `get` answers: the closure gets the call, then its params."] pub fn
        on_get < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, < str as __p::ToOwned > ::Owned) -> __A +
        ::core::marker::Send + 'static,) -> __p::Expectation where __A : __p::Answer:: <
        Result < Option < String > >, __M >, { self.mock.expect(0usize, move | __call,
        __params | { let (__value_0,) = __p::read(__params_of_get(), __params, &
        __METHODS[0usize]) ?; ::core::result::Result::Ok(__p::Answer:: < Result < Option
        < String > >, __M > ::begin(__answer(__call, __value_0))) }) } #[doc =
        "Says what `put` answers: the closure gets the call, then its params."] pub fn
        on_put < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, String, String) -> __A + ::core::marker::Send +
        'static,) -> __p::Expectation where __A : __p::Answer:: < Result < (), Full >,
        __M >, { self.mock.expect(1usize, move | __call, __params | { let (__value_0,
        __value_1,) = __p::read(__params_of_put(), __params, & __METHODS[1usize]) ?;
        ::core::result::Result::Ok(__p::Answer:: < Result < (), Full >, __M >
        ::begin(__answer(__call, __value_0, __value_1))) }) } }
    }
    #[automatically_derived]
    impl KvProxyExt for __p::Proxy {
        fn key_value(&self) -> KvProxy {
            KvProxy {
                core: __p::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl KvProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<__p::One>,
        ) -> KvProxy<__p::OnOne> {
            KvProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<__p::Many>,
        ) -> KvProxy<__p::OnMany> {
            KvProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: __p::TargetKind> KvProxy<__K> {
        /// What is kept under `key`.
        pub fn get(
            &self,
            key: &str,
        ) -> __K::Reply<
            <Result<Option<String>> as __p::Outcome>::Ok,
            <Result<Option<String>> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    dyn __Object,
                    (<str as __p::ToOwned>::Owned,),
                    Result<Option<String>>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (<str as __p::ToOwned>::to_owned(key),),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_get(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::result_probe::<Result<Option<String>>>())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: __p::Here<dyn __Object>, (__value_0,)| async move {
                        let cx = here.context();
                        here.run_with::<
                                Result<Option<String>>,
                            >(&cx, __Object::get(here.object(), &cx, (__value_0,)))
                            .await
                    },
                )
        }
        pub fn put(
            &self,
            key: impl ::core::convert::Into<__p::String>,
            value: impl ::core::convert::Into<__p::String>,
        ) -> __K::Reply<
            <Result<(), Full> as __p::Outcome>::Ok,
            <Result<(), Full> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    dyn __Object,
                    (String, String),
                    Result<(), Full>,
                    _,
                    _,
                >(
                    &__METHODS[1usize],
                    (
                        ::core::convert::Into::into(key),
                        ::core::convert::Into::into(value),
                    ),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_put(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::result_probe::<Result<(), Full>>())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: __p::Here<dyn __Object>, (__value_0, __value_1)| async move {
                        let cx = here.context();
                        here.run_with::<
                                Result<(), Full>,
                            >(
                                &cx,
                                __Object::put(here.object(), &cx, (__value_0, __value_1)),
                            )
                            .await
                    },
                )
        }
    }
    #[automatically_derived]
    impl<__Host: Kv> __p::Contract<__Host> for KvProxy {
        fn spec() -> &'static __p::ServiceSpec {
            &__SERVICE
        }
        fn local(
            host: ::std::sync::Arc<__Host>,
            spec: &'static __p::ServiceSpec,
        ) -> ::std::sync::Arc<dyn __p::HostedService> {
            let object: ::std::sync::Arc<dyn __Object> = host;
            ::std::sync::Arc::new(__p::Local::<dyn __Object>::by(object, spec))
        }
    }
};
