/// Keeps values by key.
pub trait Kv: fmt::Debug + ::core::marker::Send + ::core::marker::Sync + 'static {
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
    fn __p2p_contract_spec() -> &'static ::p2p_client::__private::ServiceSpec
    where
        Self: ::core::marker::Sized,
    {
        <KvProxy as ::p2p_client::__private::Contract<Self>>::spec()
    }
    #[doc(hidden)]
    fn __p2p_contract_local(
        self: ::std::sync::Arc<Self>,
    ) -> ::std::sync::Arc<dyn ::p2p_client::__private::HostedService>
    where
        Self: ::core::marker::Sized,
    {
        <KvProxy as ::p2p_client::__private::Contract<Self>>::local(self)
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
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_client::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: ::p2p_client::__private::LazyDescriptor = ::p2p_client::__private::LazyDescriptor::new(
        <dyn __Object as ::p2p_client::__private::Definition>::describe,
    );
    static __METHODS: [::p2p_client::__private::MethodSpec; 2usize] = [
        ::p2p_client::__private::MethodSpec {
            service: ::p2p_client::__private::Cow::Borrowed("key_value"),
            name: ::p2p_client::__private::Cow::Borrowed("get"),
            path: ::p2p_client::__private::Cow::Borrowed("key_value/get"),
            index: 0usize,
            params: ::p2p_client::__private::Cow::Borrowed(
                &[
                    ::p2p_client::__private::ParamSpec {
                        name: ::p2p_client::__private::Cow::Borrowed("key"),
                    },
                ],
            ),
            access: ::p2p_client::__private::Access::Public,
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
        ::p2p_client::__private::MethodSpec {
            service: ::p2p_client::__private::Cow::Borrowed("key_value"),
            name: ::p2p_client::__private::Cow::Borrowed("put"),
            path: ::p2p_client::__private::Cow::Borrowed("key_value/put"),
            index: 1usize,
            params: ::p2p_client::__private::Cow::Borrowed(
                &[
                    ::p2p_client::__private::ParamSpec {
                        name: ::p2p_client::__private::Cow::Borrowed("key"),
                    },
                    ::p2p_client::__private::ParamSpec {
                        name: ::p2p_client::__private::Cow::Borrowed("value"),
                    },
                ],
            ),
            access: ::p2p_client::__private::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: ::p2p_client::__private::ServiceSpec = ::p2p_client::__private::ServiceSpec {
        name: ::p2p_client::__private::Cow::Borrowed("key_value"),
        version: ::p2p_client::__private::Cow::Borrowed("2.0.0"),
        methods: ::p2p_client::__private::Cow::Borrowed(&__METHODS),
        roles: ::p2p_client::__private::Cow::Borrowed(&[]),
    };
    pub trait __Object: ::core::marker::Send + ::core::marker::Sync + 'static {
        fn get<'a>(
            &'a self,
            cx: &'a ::p2p_client::__private::CallContext,
            values: (<str as ::p2p_client::__private::ToOwned>::Owned,),
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = Result<Option<String>>,
                > + ::core::marker::Send + 'a,
            >,
        >;
        fn put<'a>(
            &'a self,
            cx: &'a ::p2p_client::__private::CallContext,
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
            cx: &'a ::p2p_client::__private::CallContext,
            values: (<str as ::p2p_client::__private::ToOwned>::Owned,),
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
                        <_ as ::p2p_client::__private::Borrow<str>>::borrow(&__value_0),
                    )
                    .await
            })
        }
        fn put<'a>(
            &'a self,
            cx: &'a ::p2p_client::__private::CallContext,
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
    #[allow(deprecated)]
    #[automatically_derived]
    impl ::p2p_client::__private::Definition for dyn __Object {
        const SPEC: &'static ::p2p_client::__private::ServiceSpec = &__SERVICE;
        fn describe() -> ::p2p_client::__private::ServiceDescriptor {
            let mut __service = ::p2p_client::__private::Describe::new(
                &__SERVICE,
                "Keeps values by key.",
            );
            __service
                .method::<
                    Result<Option<String>>,
                >(&__METHODS[0usize], "What is kept under `key`.");
            __service
                .param::<
                    <str as ::p2p_client::__private::ToOwned>::Owned,
                >("key", ::core::option::Option::None);
            __service.method::<Result<(), Full>>(&__METHODS[1usize], "");
            __service.param::<String>("key", ::core::option::Option::None);
            __service.param::<String>("value", ::core::option::Option::None);
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a ::p2p_client::__private::CallContext,
            __params: ::p2p_client::__private::Params<'a>,
        ) -> ::p2p_client::__private::ServeFuture<'a> {
            let __object = self;
            match __index {
                0usize => {
                    ::std::boxed::Box::pin(async move {
                        let (__value_0,) = match __params
                            .straight(|__params| ::core::option::Option::Some((
                                __params
                                    .take::<
                                        <str as ::p2p_client::__private::ToOwned>::Owned,
                                    >(
                                        (&::p2p_client::__private::Probe::<
                                            <str as ::p2p_client::__private::ToOwned>::Owned,
                                        >::NEW)
                                            .form(),
                                        ",\"key\":",
                                    )?,
                            )))
                        {
                            ::core::option::Option::Some(__values) => __values,
                            ::core::option::Option::None => {
                                let mut __slots = __params
                                    .split(&__METHODS[0usize].params)?;
                                (
                                    __slots
                                        .take::<
                                            <str as ::p2p_client::__private::ToOwned>::Owned,
                                        >(0usize)?,
                                )
                            }
                        };
                        ::p2p_client::__private::encode_outcome::<
                            Result<Option<String>>,
                        >(
                            (&::p2p_client::__private::result_probe::<
                                Result<Option<String>>,
                            >())
                                .form(),
                            __Object::get(__object, __cx, (__value_0,)).await,
                        )
                    })
                }
                1usize => {
                    ::std::boxed::Box::pin(async move {
                        let (__value_0, __value_1) = match __params
                            .straight(|__params| ::core::option::Option::Some((
                                __params
                                    .take::<
                                        String,
                                    >(
                                        (&::p2p_client::__private::Probe::<String>::NEW).form(),
                                        ",\"key\":",
                                    )?,
                                __params
                                    .take::<
                                        String,
                                    >(
                                        (&::p2p_client::__private::Probe::<String>::NEW).form(),
                                        ",\"value\":",
                                    )?,
                            )))
                        {
                            ::core::option::Option::Some(__values) => __values,
                            ::core::option::Option::None => {
                                let mut __slots = __params
                                    .split(&__METHODS[1usize].params)?;
                                (
                                    __slots.take::<String>(0usize)?,
                                    __slots.take::<String>(1usize)?,
                                )
                            }
                        };
                        ::p2p_client::__private::encode_outcome::<
                            Result<(), Full>,
                        >(
                            (&::p2p_client::__private::result_probe::<
                                Result<(), Full>,
                            >())
                                .form(),
                            __Object::put(__object, __cx, (__value_0, __value_1)).await,
                        )
                    })
                }
                _ => ::p2p_client::__private::no_such_method("key_value", __cx, __params),
            }
        }
    }
    ::p2p_client::__private::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockKv { fn default()
        -> Self { Self::new() } } #[automatically_derived] impl ::core::ops::Deref for
        MockKv { type Target = ::p2p_client::__private::ServiceMock; fn deref(& self) ->
        & Self::Target { & self.mock } } #[allow(unreachable_pub, dead_code,
        private_interfaces, private_bounds)] #[automatically_derived] impl MockKv { #[doc
        = r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock :
        ::p2p_client::__private::ServiceMock::new(& __SERVICE, "MockKv", &
        ["on_get(|call, key| Ok(…))", "on_put(|call, key, value| Ok(…))"]) } } #[doc
        = "Says what `get` answers: the closure gets the call, then its params."] pub fn
        on_get < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_client::__private::MockCall, < str as
        ::p2p_client::__private::ToOwned > ::Owned) -> __A + ::core::marker::Send +
        'static,) -> ::p2p_client::__private::Expectation where __A :
        ::p2p_client::__private::Answer < Result < Option < String > >, __M >, { self
        .mock.expect(0usize, move | __call, __params | { let mut __slots = __params
        .split(& __METHODS[0usize].params) ?; let (__value_0,) = (__slots.take:: < < str
        as ::p2p_client::__private::ToOwned > ::Owned > (0usize) ?,);
        ::core::result::Result::Ok(::p2p_client::__private::Answer:: < Result < Option <
        String > >, __M > ::begin(__answer(__call, __value_0))) }) } #[doc =
        "Says what `put` answers: the closure gets the call, then its params."] pub fn
        on_put < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_client::__private::MockCall, String, String) -> __A +
        ::core::marker::Send + 'static,) -> ::p2p_client::__private::Expectation where
        __A : ::p2p_client::__private::Answer < Result < (), Full >, __M >, { self.mock
        .expect(1usize, move | __call, __params | { let mut __slots = __params.split(&
        __METHODS[1usize].params) ?; let (__value_0, __value_1,) = (__slots.take:: <
        String > (0usize) ?, __slots.take:: < String > (1usize) ?,);
        ::core::result::Result::Ok(::p2p_client::__private::Answer:: < Result < (), Full
        >, __M > ::begin(__answer(__call, __value_0, __value_1))) }) } }
    }
    #[automatically_derived]
    impl KvProxyExt for ::p2p_client::__private::Proxy {
        fn key_value(&self) -> KvProxy {
            KvProxy {
                core: ::p2p_client::__private::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl KvProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<::p2p_client::__private::One>,
        ) -> KvProxy<::p2p_client::__private::OnOne> {
            KvProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<::p2p_client::__private::Many>,
        ) -> KvProxy<::p2p_client::__private::OnMany> {
            KvProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: ::p2p_client::__private::TargetKind> KvProxy<__K> {
        /// What is kept under `key`.
        pub fn get(
            &self,
            key: &str,
        ) -> __K::Reply<
            <Result<Option<String>> as ::p2p_client::__private::Outcome>::Ok,
            <Result<Option<String>> as ::p2p_client::__private::Outcome>::Err,
        > {
            self.core
                .call::<
                    dyn __Object,
                    (<str as ::p2p_client::__private::ToOwned>::Owned,),
                    Result<Option<String>>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (<str as ::p2p_client::__private::ToOwned>::to_owned(key),),
                    ::p2p_client::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    <str as ::p2p_client::__private::ToOwned>::Owned,
                                >(
                                (&::p2p_client::__private::Probe::<
                                    <str as ::p2p_client::__private::ToOwned>::Owned,
                                >::NEW)
                                    .form(),
                                ",\"key\":",
                                &params.0,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_client::__private::result_probe::<
                                Result<Option<String>>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_client::__private::Here<dyn __Object>, (__value_0,)| async move {
                        let cx = here.context();
                        here.run::<
                                Result<Option<String>>,
                            >(__Object::get(here.object(), &cx, (__value_0,)))
                            .await
                    },
                )
        }
        pub fn put(
            &self,
            key: impl ::core::convert::Into<::p2p_client::__private::String>,
            value: impl ::core::convert::Into<::p2p_client::__private::String>,
        ) -> __K::Reply<
            <Result<(), Full> as ::p2p_client::__private::Outcome>::Ok,
            <Result<(), Full> as ::p2p_client::__private::Outcome>::Err,
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
                    ::p2p_client::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    String,
                                >(
                                (&::p2p_client::__private::Probe::<String>::NEW).form(),
                                ",\"key\":",
                                &params.0,
                            )?;
                            out.field::<
                                    String,
                                >(
                                (&::p2p_client::__private::Probe::<String>::NEW).form(),
                                ",\"value\":",
                                &params.1,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_client::__private::result_probe::<
                                Result<(), Full>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |
                        here: ::p2p_client::__private::Here<dyn __Object>,
                        (__value_0, __value_1)|
                    async move {
                        let cx = here.context();
                        here.run::<
                                Result<(), Full>,
                            >(__Object::put(here.object(), &cx, (__value_0, __value_1)))
                            .await
                    },
                )
        }
    }
    #[automatically_derived]
    impl<__Host: Kv> ::p2p_client::__private::Contract<__Host> for KvProxy {
        fn spec() -> &'static ::p2p_client::__private::ServiceSpec {
            &__SERVICE
        }
        fn local(
            host: ::std::sync::Arc<__Host>,
        ) -> ::std::sync::Arc<dyn ::p2p_client::__private::HostedService> {
            let object: ::std::sync::Arc<dyn __Object> = host;
            ::std::sync::Arc::new(
                ::p2p_client::__private::Local::<dyn __Object>::new(object),
            )
        }
    }
};
