#[allow(clippy::unused_async)]
impl Counter {
    /// Counts up from a number.
    pub async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> {
        Ok(stream::iter(from..))
    }
    async fn watch(
        &self,
        cx: &CallContext,
        name: &str,
    ) -> Result<impl Stream<Item = Result<Event, Gone>> + use<'_>, Gone> {
        self.events.watch(name)
    }
}
///Calls the service `counter` ([`Counter`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct CounterProxy<K = ::p2p_runtime::__private::Anywhere> {
    core: ::p2p_runtime::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`CounterProxy`].
#[allow(unreachable_pub)]
pub trait CounterProxyExt {
    ///Calls to the service `counter`.
    fn counter(&self) -> CounterProxy;
}
::p2p_runtime::__private::mocks! {
    #[doc =
    "Stands in for the service `counter` ([`Counter`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockCounter { mock : ::p2p_runtime::__private::ServiceMock, }
}
const _: () = {
    use ::p2p_runtime::__private as __p;
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use __p::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: __p::LazyDescriptor = __p::LazyDescriptor::new(
        <Counter as __p::Definition>::describe,
    );
    static __METHODS: [__p::MethodSpec; 2usize] = [
        __p::MethodSpec {
            service: __p::Cow::Borrowed("counter"),
            name: __p::Cow::Borrowed("count"),
            path: __p::Cow::Borrowed("counter/count"),
            index: 0usize,
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("from"),
                    },
                ],
            ),
            access: __p::Access::Nodes,
            idempotent: true,
            read_only: true,
            detached: false,
            track_metrics: true,
            streams: true,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        __p::MethodSpec {
            service: __p::Cow::Borrowed("counter"),
            name: __p::Cow::Borrowed("watch"),
            path: __p::Cow::Borrowed("counter/watch"),
            index: 1usize,
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("name"),
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
        name: __p::Cow::Borrowed("counter"),
        version: __p::Cow::Borrowed(::core::env!("CARGO_PKG_VERSION")),
        methods: __p::Cow::Borrowed(&__METHODS),
        roles: __p::Cow::Borrowed(&[]),
    };
    fn __params_of_count() -> impl __p::ParamForms<(u64,)> {
        (__p::NoDefault((&__p::Probe::<u64>::NEW).form(), ",\"from\":"),)
    }
    fn __params_of_watch() -> impl __p::ParamForms<(<str as __p::ToOwned>::Owned,)> {
        (
            __p::NoDefault(
                (&__p::Probe::<<str as __p::ToOwned>::Owned>::NEW).form(),
                ",\"name\":",
            ),
        )
    }
    #[allow(deprecated)]
    fn __serve_count<'a>(
        __object: &'a Counter,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0,) = __p::read(
                __params_of_count(),
                __params,
                &__METHODS[0usize],
            )?;
            let __items = __p::json_items::<
                __p::Values,
                Result<__p::StreamOf<u64>>,
                _,
            >(
                (&__p::item_probe::<__p::Values, Result<__p::StreamOf<u64>>>()).form(),
                __cx,
            )?;
            __p::encode_end(
                __p::feed::<__p::Values, _>(__cx, &__items, __object.count(__value_0))
                    .await,
            )
        })
    }
    #[allow(deprecated)]
    fn __serve_watch<'a>(
        __object: &'a Counter,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0,) = __p::read(
                __params_of_watch(),
                __params,
                &__METHODS[1usize],
            )?;
            let __items = __p::json_items::<
                __p::Results,
                Result<__p::StreamOf<Result<Event, Gone>>, Gone>,
                _,
            >(
                (&__p::item_probe::<
                    __p::Results,
                    Result<__p::StreamOf<Result<Event, Gone>>, Gone>,
                >())
                    .form(),
                __cx,
            )?;
            __p::encode_end(
                __p::feed::<
                    __p::Results,
                    _,
                >(
                        __cx,
                        &__items,
                        __object.watch(__cx, <_ as __p::Borrow<str>>::borrow(&__value_0)),
                    )
                    .await,
            )
        })
    }
    #[automatically_derived]
    impl __p::Definition for Counter {
        const SPEC: &'static __p::ServiceSpec = &__SERVICE;
        fn describe() -> __p::ServiceDescriptor {
            let mut __service = __p::Describe::new(&__SERVICE, "");
            __service
                .stream::<
                    __p::Values,
                    Result<__p::StreamOf<u64>>,
                >(&__METHODS[0usize], "Counts up from a number.");
            __service.param::<u64>("from", ::core::option::Option::None);
            __service
                .stream::<
                    __p::Results,
                    Result<__p::StreamOf<Result<Event, Gone>>, Gone>,
                >(&__METHODS[1usize], "");
            __service
                .param::<
                    <str as __p::ToOwned>::Owned,
                >("name", ::core::option::Option::None);
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a __p::CallContext,
            __params: __p::Params<'a>,
        ) -> __p::ServeFuture<'a> {
            match __index {
                0usize => __serve_count(self, __cx, __params),
                1usize => __serve_watch(self, __cx, __params),
                _ => __p::no_such_method("counter", __cx, __params),
            }
        }
    }
    __p::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockCounter { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockCounter { type Target = __p::ServiceMock; fn deref(&
        self) -> & Self::Target { & self.mock } } #[allow(unreachable_pub, dead_code,
        private_interfaces, private_bounds)] #[automatically_derived] impl MockCounter {
        #[doc = r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock
        : __p::ServiceMock::new(& __SERVICE, "MockCounter", &
        ["on_count(|call, from| Ok(…))", "on_watch(|call, name| Ok(…))"]) } } #[doc =
        "Says what `count` streams: the closure gets the call, then its params."] pub fn
        on_count < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, u64) -> __A + ::core::marker::Send + 'static,)
        -> __p::Expectation where __A : __p::StreamAnswer:: < __p::Values, Result <
        __p::StreamOf < u64 > >, __M >, { self.mock.expect(0usize, move | __call,
        __params | { let (__value_0,) = __p::read(__params_of_count(), __params, &
        __METHODS[0usize]) ?; ::core::result::Result::Ok(__p::StreamAnswer:: <
        __p::Values, Result < __p::StreamOf < u64 > >, __M > ::begin(__answer(__call,
        __value_0))) }) } #[doc =
        "Says what `watch` streams: the closure gets the call, then its params."] pub fn
        on_watch < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, < str as __p::ToOwned > ::Owned) -> __A +
        ::core::marker::Send + 'static,) -> __p::Expectation where __A :
        __p::StreamAnswer:: < __p::Results, Result < __p::StreamOf < Result < Event, Gone
        > >, Gone >, __M >, { self.mock.expect(1usize, move | __call, __params | { let
        (__value_0,) = __p::read(__params_of_watch(), __params, & __METHODS[1usize]) ?;
        ::core::result::Result::Ok(__p::StreamAnswer:: < __p::Results, Result <
        __p::StreamOf < Result < Event, Gone > >, Gone >, __M > ::begin(__answer(__call,
        __value_0))) }) } }
    }
    #[automatically_derived]
    impl CounterProxyExt for __p::Proxy {
        fn counter(&self) -> CounterProxy {
            CounterProxy {
                core: __p::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl CounterProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<__p::One>,
        ) -> CounterProxy<__p::OnOne> {
            CounterProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<__p::Many>,
        ) -> CounterProxy<__p::OnMany> {
            CounterProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: __p::TargetKind> CounterProxy<__K> {
        /// Counts up from a number.
        pub fn count(
            &self,
            from: u64,
        ) -> __p::Call<
            __p::Streaming<
                <Result<__p::StreamOf<u64>> as __p::StreamOutcome<__p::Values>>::Value,
                <Result<__p::StreamOf<u64>> as __p::StreamOutcome<__p::Values>>::Err,
            >,
            <Result<__p::StreamOf<u64>> as __p::StreamOutcome<__p::Values>>::Err,
        >
        where
            __K: __p::OneTarget,
        {
            self.core
                .open::<
                    Counter,
                    (u64,),
                    __p::Values,
                    Result<__p::StreamOf<u64>>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (from,),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_count(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::item_probe::<
                                __p::Values,
                                Result<__p::StreamOf<u64>>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: __p::Here<Counter>, (__value_0,)| {
                        let (items, stream) = here
                            .stream::<__p::Values, Result<__p::StreamOf<u64>>>();
                        stream
                            .run(async move {
                                let cx = here.context();
                                here.run_stream(
                                        &cx,
                                        __p::feed::<
                                            __p::Values,
                                            _,
                                        >(&cx, &*items, here.object().count(__value_0)),
                                    )
                                    .await
                            })
                    },
                )
        }
        pub fn watch(
            &self,
            name: &str,
        ) -> __p::Call<
            __p::Streaming<
                <Result<
                    __p::StreamOf<Result<Event, Gone>>,
                    Gone,
                > as __p::StreamOutcome<__p::Results>>::Value,
                <Result<
                    __p::StreamOf<Result<Event, Gone>>,
                    Gone,
                > as __p::StreamOutcome<__p::Results>>::Err,
            >,
            <Result<
                __p::StreamOf<Result<Event, Gone>>,
                Gone,
            > as __p::StreamOutcome<__p::Results>>::Err,
        >
        where
            __K: __p::OneTarget,
        {
            self.core
                .open::<
                    Counter,
                    (<str as __p::ToOwned>::Owned,),
                    __p::Results,
                    Result<__p::StreamOf<Result<Event, Gone>>, Gone>,
                    _,
                    _,
                >(
                    &__METHODS[1usize],
                    (<str as __p::ToOwned>::to_owned(name),),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_watch(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::item_probe::<
                                __p::Results,
                                Result<__p::StreamOf<Result<Event, Gone>>, Gone>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: __p::Here<Counter>, (__value_0,)| {
                        let (items, stream) = here
                            .stream::<
                                __p::Results,
                                Result<__p::StreamOf<Result<Event, Gone>>, Gone>,
                            >();
                        stream
                            .run(async move {
                                let cx = here.context();
                                here.run_stream(
                                        &cx,
                                        __p::feed::<
                                            __p::Results,
                                            _,
                                        >(
                                            &cx,
                                            &*items,
                                            here
                                                .object()
                                                .watch(&cx, <_ as __p::Borrow<str>>::borrow(&__value_0)),
                                        ),
                                    )
                                    .await
                            })
                    },
                )
        }
    }
    #[automatically_derived]
    impl __p::Hosted<()> for Counter {
        fn spec() -> &'static __p::ServiceSpec {
            &__SERVICE
        }
        fn host(self: ::std::sync::Arc<Self>) -> __p::Hosting {
            #[allow(
                unused_imports,
                reason = "one of the two is chosen by what the type implements"
            )]
            use __p::{ViaLifecycle as _, ViaNoLifecycle as _};
            let hosting = __p::Hosting::new(
                ::std::sync::Arc::new(
                    __p::Local::<Counter>::new(::core::clone::Clone::clone(&self)),
                ),
            );
            let hosting = (&__p::LifecycleProbe(::core::clone::Clone::clone(&self)))
                .hooks(hosting);
            hosting
        }
    }
    __p::inventory::submit! {
        __p::ServiceEntry::new(::core::module_path!(), || & __SERVICE, & [], | cx |
        ::std::boxed::Box::pin(async move { let made = __p::made_once:: < Counter > (cx,
        async move { let object : ::core::option::Option < ::std::sync::Arc < Counter >>
        = { #[allow(unused_imports, reason =
        "one of the two is chosen by what the type implements")] use __p:: { ViaDefault
        as _, ViaNoDefault as _ }; let _ = cx; (& __p::DefaultProbe:: < Counter >
        ::new()).make() }; ::core::result::Result::Ok(object) });
        ::core::result::Result::Ok(made. await ? .map(| made | made.hosted(< Counter as
        __p::Hosted < () >> ::host))) }))
    }
};
