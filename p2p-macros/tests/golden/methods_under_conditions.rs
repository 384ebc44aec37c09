#[allow(clippy::unused_async)]
impl Machine {
    #[cfg(unix)]
    async fn signal(&self, number: i32) -> Result<()> {
        Ok(())
    }
    async fn uptime(&self) -> Result<u64> {
        Ok(0)
    }
    async fn health(&self) -> Health {
        Health::healthy()
    }
}
///Calls the service `machine` ([`Machine`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct MachineProxy<K = ::p2p_runtime::__private::Anywhere> {
    core: ::p2p_runtime::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`MachineProxy`].
#[allow(unreachable_pub)]
pub trait MachineProxyExt {
    ///Calls to the service `machine`.
    fn machine(&self) -> MachineProxy;
}
::p2p_runtime::__private::mocks! {
    #[doc =
    "Stands in for the service `machine` ([`Machine`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockMachine { mock : ::p2p_runtime::__private::ServiceMock, }
}
const _: () = {
    use ::p2p_runtime::__private as __p;
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use __p::{Form as _, ViaMessage as _, ViaSerde as _};
    #[allow(non_camel_case_types, dead_code)]
    #[derive(::core::clone::Clone, ::core::marker::Copy)]
    enum __Place {
        #[cfg(unix)]
        signal,
        uptime,
    }
    static __DESCRIPTOR: __p::LazyDescriptor = __p::LazyDescriptor::new(
        <Machine as __p::Definition>::describe,
    );
    static __METHODS: [__p::MethodSpec; {
        let __each: &[()] = &[#[cfg(unix)] (), ()];
        __each.len()
    }] = [
        #[cfg(unix)]
        __p::MethodSpec {
            service: __p::Cow::Borrowed("machine"),
            name: __p::Cow::Borrowed("signal"),
            path: __p::Cow::Borrowed("machine/signal"),
            index: (__Place::signal as usize),
            params: __p::Cow::Borrowed(
                &[
                    __p::ParamSpec {
                        name: __p::Cow::Borrowed("number"),
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
        __p::MethodSpec {
            service: __p::Cow::Borrowed("machine"),
            name: __p::Cow::Borrowed("uptime"),
            path: __p::Cow::Borrowed("machine/uptime"),
            index: (__Place::uptime as usize),
            params: __p::Cow::Borrowed(&[]),
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
        name: __p::Cow::Borrowed("machine"),
        version: __p::Cow::Borrowed("1.0.0"),
        methods: __p::Cow::Borrowed(&__METHODS),
        roles: __p::Cow::Borrowed(&[]),
    };
    #[cfg(unix)]
    fn __params_of_signal() -> impl __p::ParamForms<(i32,)> {
        (__p::NoDefault((&__p::Probe::<i32>::NEW).form(), ",\"number\":"),)
    }
    #[cfg(unix)]
    #[allow(deprecated)]
    fn __serve_signal<'a>(
        __object: &'a Machine,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let (__value_0,) = __p::read(
                __params_of_signal(),
                __params,
                &__METHODS[(__Place::signal as usize)],
            )?;
            __p::encode_outcome::<
                Result<()>,
            >(
                (&__p::result_probe::<Result<()>>()).form(),
                __object.signal(__value_0).await,
            )
        })
    }
    #[allow(deprecated)]
    fn __serve_uptime<'a>(
        __object: &'a Machine,
        __cx: &'a __p::CallContext,
        __params: __p::Params<'a>,
    ) -> __p::ServeFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let () = __p::read((), __params, &__METHODS[(__Place::uptime as usize)])?;
            __p::encode_outcome::<
                Result<u64>,
            >((&__p::result_probe::<Result<u64>>()).form(), __object.uptime().await)
        })
    }
    #[automatically_derived]
    impl __p::Definition for Machine {
        const SPEC: &'static __p::ServiceSpec = &__SERVICE;
        fn describe() -> __p::ServiceDescriptor {
            let mut __service = __p::Describe::new(&__SERVICE, "");
            #[cfg(unix)]
            {
                __service
                    .method::<Result<()>>(&__METHODS[(__Place::signal as usize)], "");
                __service.param::<i32>("number", ::core::option::Option::None);
            }
            __service.method::<Result<u64>>(&__METHODS[(__Place::uptime as usize)], "");
            __service.finish()
        }
        fn serve<'a>(
            &'a self,
            __index: usize,
            __cx: &'a __p::CallContext,
            __params: __p::Params<'a>,
        ) -> __p::ServeFuture<'a> {
            match __index {
                #[cfg(unix)]
                __place if __place == __Place::signal as usize => {
                    __serve_signal(self, __cx, __params)
                }
                __place if __place == __Place::uptime as usize => {
                    __serve_uptime(self, __cx, __params)
                }
                _ => __p::no_such_method("machine", __cx, __params),
            }
        }
    }
    __p::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockMachine { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockMachine { type Target = __p::ServiceMock; fn deref(&
        self) -> & Self::Target { & self.mock } } #[allow(unreachable_pub, dead_code,
        private_interfaces, private_bounds)] #[automatically_derived] impl MockMachine {
        #[doc = r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock
        : __p::ServiceMock::new(& __SERVICE, "MockMachine", & [#[cfg(unix)]
        "on_signal(|call, number| Ok(…))", "on_uptime(|call| Ok(…))"]) } }
        #[cfg(unix)] #[doc =
        "Says what `signal` answers: the closure gets the call, then its params."] pub fn
        on_signal < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall, i32) -> __A + ::core::marker::Send + 'static,)
        -> __p::Expectation where __A : __p::Answer:: < Result < () >, __M >, { self.mock
        .expect((__Place::signal as usize), move | __call, __params | { let (__value_0,)
        = __p::read(__params_of_signal(), __params, & __METHODS[(__Place::signal as
        usize)]) ?; ::core::result::Result::Ok(__p::Answer:: < Result < () >, __M >
        ::begin(__answer(__call, __value_0))) }) } #[doc =
        "Says what `uptime` answers: the closure gets the call, then its params."] pub fn
        on_uptime < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(__p::MockCall,) -> __A + ::core::marker::Send + 'static,) ->
        __p::Expectation where __A : __p::Answer:: < Result < u64 >, __M >, { self.mock
        .expect((__Place::uptime as usize), move | __call, __params | { let () =
        __p::read((), __params, & __METHODS[(__Place::uptime as usize)]) ?;
        ::core::result::Result::Ok(__p::Answer:: < Result < u64 >, __M >
        ::begin(__answer(__call,))) }) } }
    }
    #[automatically_derived]
    impl MachineProxyExt for __p::Proxy {
        fn machine(&self) -> MachineProxy {
            MachineProxy {
                core: __p::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl MachineProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<__p::One>,
        ) -> MachineProxy<__p::OnOne> {
            MachineProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<__p::Many>,
        ) -> MachineProxy<__p::OnMany> {
            MachineProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: __p::TargetKind> MachineProxy<__K> {
        #[cfg(unix)]
        pub fn signal(
            &self,
            number: i32,
        ) -> __K::Reply<
            <Result<()> as __p::Outcome>::Ok,
            <Result<()> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    Machine,
                    (i32,),
                    Result<()>,
                    _,
                    _,
                >(
                    &__METHODS[(__Place::signal as usize)],
                    (number,),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write(
                            __params_of_signal(),
                            params,
                            out,
                        ),
                        decode: |json| {
                            (&__p::result_probe::<Result<()>>()).form().decode(json)
                        },
                    },
                    |here: __p::Here<Machine>, (__value_0,)| async move {
                        here.run::<Result<()>>(here.object().signal(__value_0)).await
                    },
                )
        }
        pub fn uptime(
            &self,
        ) -> __K::Reply<
            <Result<u64> as __p::Outcome>::Ok,
            <Result<u64> as __p::Outcome>::Err,
        > {
            self.core
                .call::<
                    Machine,
                    (),
                    Result<u64>,
                    _,
                    _,
                >(
                    &__METHODS[(__Place::uptime as usize)],
                    (),
                    __p::Codec {
                        encode: |params, out| __p::ParamForms::write((), params, out),
                        decode: |json| {
                            (&__p::result_probe::<Result<u64>>()).form().decode(json)
                        },
                    },
                    |here: __p::Here<Machine>, ()| async move {
                        here.run::<Result<u64>>(here.object().uptime()).await
                    },
                )
        }
    }
    #[automatically_derived]
    impl __p::Hosted<()> for Machine {
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
                    __p::Local::<Machine>::new(::core::clone::Clone::clone(&self)),
                ),
            );
            let hosting = (&__p::LifecycleProbe(::core::clone::Clone::clone(&self)))
                .hooks(hosting);
            let object = ::core::clone::Clone::clone(&self);
            let hosting = hosting
                .health(move |_: __p::Context| {
                    let object = ::core::clone::Clone::clone(&object);
                    ::std::boxed::Box::pin(async move {
                        __p::HealthOutcome::settled(object.health().await)
                    })
                });
            hosting
        }
    }
    __p::inventory::submit! {
        __p::ServiceEntry::new(::core::module_path!(), || & __SERVICE, & [], | cx |
        ::std::boxed::Box::pin(async move { let made = __p::made_once:: < Machine > (cx,
        async move { let object : ::core::option::Option < ::std::sync::Arc < Machine >>
        = { #[allow(unused_imports, reason =
        "one of the two is chosen by what the type implements")] use __p:: { ViaDefault
        as _, ViaNoDefault as _ }; let _ = cx; (& __p::DefaultProbe:: < Machine >
        ::new()).make() }; ::core::result::Result::Ok(object) });
        ::core::result::Result::Ok(made. await ? .map(| made | made.hosted(< Machine as
        __p::Hosted < () >> ::host))) }))
    }
};
