pub trait Feed: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn entries(
        &self,
        since: u64,
    ) -> impl ::core::future::Future<
        Output = Result<impl Stream<Item = Entry> + ::core::marker::Send>,
    > + ::core::marker::Send;
    #[doc(hidden)]
    const __P2P_ACCESS: &'static [(&'static str, ::p2p_client::__private::Access)] = &[
        ("entries", ::p2p_client::__private::Access::Nodes),
    ];
    #[doc(hidden)]
    fn __put_service_on_this_trait() -> &'static ::p2p_client::__private::ServiceSpec
    where
        Self: ::core::marker::Sized,
    {
        <FeedProxy as ::p2p_client::__private::Contract<Self>>::spec()
    }
    #[doc(hidden)]
    fn __p2p_contract_local(
        self: ::std::sync::Arc<Self>,
        spec: &'static ::p2p_client::__private::ServiceSpec,
    ) -> ::std::sync::Arc<dyn ::p2p_client::__private::HostedService>
    where
        Self: ::core::marker::Sized,
    {
        <FeedProxy as ::p2p_client::__private::Contract<Self>>::local(self, spec)
    }
}
///Calls the service `feed` ([`Feed`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct FeedProxy<K = ::p2p_client::__private::Anywhere> {
    core: ::p2p_client::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`FeedProxy`].
#[allow(unreachable_pub)]
pub trait FeedProxyExt {
    ///Calls to the service `feed`.
    fn feed(&self) -> FeedProxy;
}
::p2p_client::__private::mocks! {
    #[doc =
    "Stands in for the service `feed` ([`Feed`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockFeed { mock : ::p2p_client::__private::ServiceMock, }
}
const _: () = {
    use ::p2p_client::__private as __p;
    pub trait __Object: ::core::marker::Send + ::core::marker::Sync + 'static {
        fn entries<'a>(
            &'a self,
            cx: &'a __p::CallContext,
            values: (u64,),
            items: &'a dyn __p::TakeItems<
                <Result<__p::StreamOf<Entry>> as __p::StreamOutcome<__p::Values>>::Value,
            >,
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = ::core::result::Result<
                        (),
                        __p::Failed<
                            <Result<
                                __p::StreamOf<Entry>,
                            > as __p::StreamOutcome<__p::Values>>::Err,
                        >,
                    >,
                > + ::core::marker::Send + 'a,
            >,
        >;
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl<__Host: Feed> __Object for __Host {
        fn entries<'a>(
            &'a self,
            cx: &'a __p::CallContext,
            values: (u64,),
            items: &'a dyn __p::TakeItems<
                <Result<__p::StreamOf<Entry>> as __p::StreamOutcome<__p::Values>>::Value,
            >,
        ) -> ::core::pin::Pin<
            ::std::boxed::Box<
                dyn ::core::future::Future<
                    Output = ::core::result::Result<
                        (),
                        __p::Failed<
                            <Result<
                                __p::StreamOf<Entry>,
                            > as __p::StreamOutcome<__p::Values>>::Err,
                        >,
                    >,
                > + ::core::marker::Send + 'a,
            >,
        > {
            ::std::boxed::Box::pin(async move {
                let (__value_0,) = values;
                __p::feed::<
                    __p::Values,
                    _,
                >(cx, items, <__Host as Feed>::entries(self, __value_0))
                    .await
            })
        }
    }
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use __p::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: __p::LazyDescriptor = __p::LazyDescriptor::new(
        <dyn __Object as __p::Definition>::describe,
    );
    static __METHODS: [__p::MethodSpec; 1usize] = [
        __p::MethodSpec {
            service: __p::Cow::Borrowed("feed"),
            name: __p::Cow::Borrowed("entries"),
            path: __p::Cow::Borrowed("feed/entries"),
            index: 0usize,
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("since"),
                    },
                ],
            ),
            access: __p::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: true,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: __p::ServiceSpec = __p::ServiceSpec {
        name: __p::Cow::Borrowed("feed"),
        version: __p::Cow::Borrowed("1.0.0"),
        methods: __p::Cow::Borrowed(&__METHODS),
        roles: __p::Cow::Borrowed(&[]),
    };
    fn __params_of_entries() -> impl __p::ParamForms<(u64,)> {
        (__p::NoDefault((&__p::Probe::<u64>::NEW).form(), ",\"since\":"),)
    }
    #[allow(deprecated)]
    fn __serve_entries<'a>(
        __object: &'a dyn __Object,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0,) = __p::read(
                __params_of_entries(),
                __params,
                &__METHODS[0usize],
            )?;
            let __items = __p::json_items::<
                __p::Values,
                Result<__p::StreamOf<Entry>>,
                _,
            >(
                (&__p::item_probe::<__p::Values, Result<__p::StreamOf<Entry>>>()).form(),
                __cx,
            )?;
            __p::encode_end(
                __Object::entries(__object, __cx, (__value_0,), &__items).await,
            )
        })
    }
    #[automatically_derived]
    impl __p::Definition for dyn __Object {
        const SPEC: &'static __p::ServiceSpec = &__SERVICE;
        fn describe() -> __p::ServiceDescriptor {
            let mut __service = __p::Describe::new(&__SERVICE, "");
            __service
                .stream::<
                    __p::Values,
                    Result<__p::StreamOf<Entry>>,
                >(&__METHODS[0usize], "");
            __service.param::<u64>("since", ::core::option::Option::None);
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a __p::CallContext,
            __params: __p::Params<'a>,
        ) -> __p::ServeFuture<'a> {
            match __index {
                0usize => __serve_entries(self, __cx, __params),
                _ => __p::no_such_method("feed", __cx, __params),
            }
        }
    }
    __p::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockFeed { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockFeed { type Target = __p::ServiceMock; fn deref(&
        self) -> & Self::Target { & self.mock } } #[allow(unreachable_pub, dead_code,
        private_interfaces, private_bounds)] #[automatically_derived] impl MockFeed {
        #[doc = r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock
        : __p::ServiceMock::new(& __SERVICE, "MockFeed", &
        ["on_entries(|call, since| Ok(…))"]) } } #[doc =
        "Says what `entries` streams: the closure gets the call, then its params."] pub
        fn on_entries < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, u64) -> __A + ::core::marker::Send + 'static,)
        -> __p::Expectation where __A : __p::StreamAnswer:: < __p::Values, Result <
        __p::StreamOf < Entry > >, __M >, { self.mock.expect(0usize, move | __call,
        __params | { let (__value_0,) = __p::read(__params_of_entries(), __params, &
        __METHODS[0usize]) ?; ::core::result::Result::Ok(__p::StreamAnswer:: <
        __p::Values, Result < __p::StreamOf < Entry > >, __M > ::begin(__answer(__call,
        __value_0))) }) } }
    }
    #[automatically_derived]
    impl FeedProxyExt for __p::Proxy {
        fn feed(&self) -> FeedProxy {
            FeedProxy {
                core: __p::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl FeedProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<__p::One>,
        ) -> FeedProxy<__p::OnOne> {
            FeedProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<__p::Many>,
        ) -> FeedProxy<__p::OnMany> {
            FeedProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: __p::TargetKind> FeedProxy<__K> {
        pub fn entries(
            &self,
            since: u64,
        ) -> __p::Call<
            __p::Streaming<
                <Result<__p::StreamOf<Entry>> as __p::StreamOutcome<__p::Values>>::Value,
                <Result<__p::StreamOf<Entry>> as __p::StreamOutcome<__p::Values>>::Err,
            >,
            <Result<__p::StreamOf<Entry>> as __p::StreamOutcome<__p::Values>>::Err,
        >
        where
            __K: __p::OneTarget,
        {
            self.core
                .open::<
                    dyn __Object,
                    (u64,),
                    __p::Values,
                    Result<__p::StreamOf<Entry>>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (since,),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_entries(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::item_probe::<
                                __p::Values,
                                Result<__p::StreamOf<Entry>>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: __p::Here<dyn __Object>, (__value_0,)| {
                        let (items, stream) = here
                            .stream::<__p::Values, Result<__p::StreamOf<Entry>>>();
                        stream
                            .run(async move {
                                let cx = here.context();
                                here.run_stream(
                                        &cx,
                                        __Object::entries(here.object(), &cx, (__value_0,), &*items),
                                    )
                                    .await
                            })
                    },
                )
        }
    }
    #[automatically_derived]
    impl<__Host: Feed> __p::Contract<__Host> for FeedProxy {
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
