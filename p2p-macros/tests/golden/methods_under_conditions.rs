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
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_runtime::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    #[allow(non_camel_case_types, dead_code)]
    #[derive(::core::clone::Clone, ::core::marker::Copy)]
    enum __Place {
        #[cfg(unix)]
        signal,
        uptime,
    }
    static __DESCRIPTOR: ::p2p_runtime::__private::LazyDescriptor = ::p2p_runtime::__private::LazyDescriptor::new(
        <Machine as ::p2p_runtime::__private::Definition>::describe,
    );
    static __METHODS: [::p2p_runtime::__private::MethodSpec; {
        let __each: &[()] = &[#[cfg(unix)] (), ()];
        __each.len()
    }] = [
        #[cfg(unix)]
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("machine"),
            name: ::p2p_runtime::__private::Cow::Borrowed("signal"),
            path: ::p2p_runtime::__private::Cow::Borrowed("machine/signal"),
            index: (__Place::signal as usize),
            params: ::p2p_runtime::__private::Cow::Borrowed(
                &[
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("number"),
                    },
                ],
            ),
            access: ::p2p_runtime::__private::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("machine"),
            name: ::p2p_runtime::__private::Cow::Borrowed("uptime"),
            path: ::p2p_runtime::__private::Cow::Borrowed("machine/uptime"),
            index: (__Place::uptime as usize),
            params: ::p2p_runtime::__private::Cow::Borrowed(&[]),
            access: ::p2p_runtime::__private::Access::Nodes,
            idempotent: false,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: ::p2p_runtime::__private::ServiceSpec = ::p2p_runtime::__private::ServiceSpec {
        name: ::p2p_runtime::__private::Cow::Borrowed("machine"),
        version: ::p2p_runtime::__private::Cow::Borrowed("1.0.0"),
        methods: ::p2p_runtime::__private::Cow::Borrowed(&__METHODS),
        roles: ::p2p_runtime::__private::Cow::Borrowed(&[]),
    };
    #[allow(deprecated)]
    #[automatically_derived]
    impl ::p2p_runtime::__private::Definition for Machine {
        const SPEC: &'static ::p2p_runtime::__private::ServiceSpec = &__SERVICE;
        fn describe() -> ::p2p_runtime::__private::ServiceDescriptor {
            let mut __service = ::p2p_runtime::__private::Describe::new(&__SERVICE, "");
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
            __cx: &'a ::p2p_runtime::__private::CallContext,
            __params: ::p2p_runtime::__private::Params<'a>,
        ) -> ::p2p_runtime::__private::ServeFuture<'a> {
            let __object = self;
            match __index {
                #[cfg(unix)]
                __place if __place == __Place::signal as usize => {
                    ::std::boxed::Box::pin(async move {
                        let (__value_0,) = match __params
                            .straight(|__params| ::core::option::Option::Some((
                                __params
                                    .take::<
                                        i32,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<i32>::NEW).form(),
                                        ",\"number\":",
                                    )?,
                            )))
                        {
                            ::core::option::Option::Some(__values) => __values,
                            ::core::option::Option::None => {
                                let mut __slots = __params
                                    .split(&__METHODS[(__Place::signal as usize)].params)?;
                                (__slots.take::<i32>(0usize)?,)
                            }
                        };
                        ::p2p_runtime::__private::encode_outcome::<
                            Result<()>,
                        >(
                            (&::p2p_runtime::__private::result_probe::<Result<()>>())
                                .form(),
                            __object.signal(__value_0).await,
                        )
                    })
                }
                __place if __place == __Place::uptime as usize => {
                    ::std::boxed::Box::pin(async move {
                        __params.split(&__METHODS[(__Place::uptime as usize)].params)?;
                        ::p2p_runtime::__private::encode_outcome::<
                            Result<u64>,
                        >(
                            (&::p2p_runtime::__private::result_probe::<Result<u64>>())
                                .form(),
                            __object.uptime().await,
                        )
                    })
                }
                _ => ::p2p_runtime::__private::no_such_method("machine", __cx, __params),
            }
        }
    }
    ::p2p_runtime::__private::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockMachine { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockMachine { type Target =
        ::p2p_runtime::__private::ServiceMock; fn deref(& self) -> & Self::Target { &
        self.mock } } #[allow(unreachable_pub, dead_code, private_interfaces,
        private_bounds)] #[automatically_derived] impl MockMachine { #[doc =
        r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock :
        ::p2p_runtime::__private::ServiceMock::new(& __SERVICE, "MockMachine", &
        [#[cfg(unix)] "on_signal(|call, number| Ok(…))", "on_uptime(|call| Ok(…))"])
        } } #[cfg(unix)] #[doc =
        "Says what `signal` answers: the closure gets the call, then its params."] pub fn
        on_signal < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_runtime::__private::MockCall, i32) -> __A +
        ::core::marker::Send + 'static,) -> ::p2p_runtime::__private::Expectation where
        __A : ::p2p_runtime::__private::Answer < Result < () >, __M >, { self.mock
        .expect((__Place::signal as usize), move | __call, __params | { let mut __slots =
        __params.split(& __METHODS[(__Place::signal as usize)].params) ?; let
        (__value_0,) = (__slots.take:: < i32 > (0usize) ?,);
        ::core::result::Result::Ok(::p2p_runtime::__private::Answer:: < Result < () >,
        __M > ::begin(__answer(__call, __value_0))) }) } #[doc =
        "Says what `uptime` answers: the closure gets the call, then its params."] pub fn
        on_uptime < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_runtime::__private::MockCall,) -> __A +
        ::core::marker::Send + 'static,) -> ::p2p_runtime::__private::Expectation where
        __A : ::p2p_runtime::__private::Answer < Result < u64 >, __M >, { self.mock
        .expect((__Place::uptime as usize), move | __call, __params | { let _ = __params
        .split(& __METHODS[(__Place::uptime as usize)].params) ?; let () = ();
        ::core::result::Result::Ok(::p2p_runtime::__private::Answer:: < Result < u64 >,
        __M > ::begin(__answer(__call,))) }) } }
    }
    #[automatically_derived]
    impl MachineProxyExt for ::p2p_runtime::__private::Proxy {
        fn machine(&self) -> MachineProxy {
            MachineProxy {
                core: ::p2p_runtime::__private::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl MachineProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<::p2p_runtime::__private::One>,
        ) -> MachineProxy<::p2p_runtime::__private::OnOne> {
            MachineProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<::p2p_runtime::__private::Many>,
        ) -> MachineProxy<::p2p_runtime::__private::OnMany> {
            MachineProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: ::p2p_runtime::__private::TargetKind> MachineProxy<__K> {
        #[cfg(unix)]
        pub fn signal(
            &self,
            number: i32,
        ) -> __K::Reply<
            <Result<()> as ::p2p_runtime::__private::Outcome>::Ok,
            <Result<()> as ::p2p_runtime::__private::Outcome>::Err,
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
                    ::p2p_runtime::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    i32,
                                >(
                                (&::p2p_runtime::__private::Probe::<i32>::NEW).form(),
                                ",\"number\":",
                                &params.0,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_runtime::__private::result_probe::<Result<()>>())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_runtime::__private::Here<Machine>, (__value_0,)| async move {
                        here.run::<Result<()>>(here.object().signal(__value_0)).await
                    },
                )
        }
        pub fn uptime(
            &self,
        ) -> __K::Reply<
            <Result<u64> as ::p2p_runtime::__private::Outcome>::Ok,
            <Result<u64> as ::p2p_runtime::__private::Outcome>::Err,
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
                    ::p2p_runtime::__private::Codec {
                        encode: |_, _| { ::core::result::Result::Ok(()) },
                        decode: |json| {
                            (&::p2p_runtime::__private::result_probe::<Result<u64>>())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_runtime::__private::Here<Machine>, ()| async move {
                        here.run::<Result<u64>>(here.object().uptime()).await
                    },
                )
        }
    }
    #[automatically_derived]
    impl ::p2p_runtime::__private::Hosted<()> for Machine {
        fn spec() -> &'static ::p2p_runtime::__private::ServiceSpec {
            &__SERVICE
        }
        fn host(self: ::std::sync::Arc<Self>) -> ::p2p_runtime::__private::Hosting {
            let hosting = ::p2p_runtime::__private::Hosting::new(
                ::std::sync::Arc::new(
                    ::p2p_runtime::__private::Local::<
                        Machine,
                    >::new(::core::clone::Clone::clone(&self)),
                ),
            );
            let object = ::core::clone::Clone::clone(&self);
            let hosting = hosting
                .health(move |_: ::p2p_runtime::__private::Context| {
                    let object = ::core::clone::Clone::clone(&object);
                    ::std::boxed::Box::pin(async move { object.health().await })
                });
            hosting
        }
    }
    ::p2p_runtime::__private::inventory::submit! {
        ::p2p_runtime::__private::ServiceEntry::new(::core::module_path!(), || &
        __SERVICE, & [], | cx | ::std::boxed::Box::pin(async move { let object :
        ::core::option::Option < ::std::sync::Arc < Machine >> = {
        #[allow(unused_imports, reason =
        "one of the two is chosen by what the type implements")] use
        ::p2p_runtime::__private:: { ViaDefault as _, ViaNoDefault as _ }; let _ = cx; (&
        ::p2p_runtime::__private::DefaultProbe:: < Machine > ::new()).make() };
        ::core::result::Result::Ok(object.map(< Machine as
        ::p2p_runtime::__private::Hosted < () >> ::host)) }))
    }
};
