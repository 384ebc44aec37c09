#[allow(clippy::unused_async)]
/// Greets people.
impl Greeter {
    /// Makes it.
    pub async fn new(cx: &Context) -> Result<Self> {
        Ok(Self)
    }
    async fn initialize(&self, cx: &Context) -> Result<()> {
        Ok(())
    }
    async fn cleanup(&self) -> Result<()> {
        Ok(())
    }
    /// Says hello.
    pub async fn greet(
        &self,
        cx: &CallContext,
        name: String,
        r#loop: u32,
        title: Option<String>,
        ending: char,
        style: &str,
        guests: &[Guest],
        like: &Greeting,
    ) -> Result<Greeting> {
        Ok(like.clone())
    }
    async fn forget_all(&self) -> Result<u64, Forgotten> {
        Err(Forgotten)
    }
    async fn count(&self) -> Counted {
        Ok(0)
    }
    fn not_served(&self) {}
}
///Calls the service `greeter` ([`Greeter`]), wherever it is hosted. Without a target a call goes here if the service is hosted here, else to the best node that hosts it; `.on(…)` and `.on_all(…)` say otherwise.
#[allow(unreachable_pub)]
#[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)]
pub struct GreeterProxy<K = ::p2p_runtime::__private::Anywhere> {
    core: ::p2p_runtime::__private::ProxyCore<K>,
}
///Gives every proxy a method that makes a [`GreeterProxy`].
#[allow(unreachable_pub)]
pub trait GreeterProxyExt {
    ///Calls to the service `greeter`.
    fn greeter(&self) -> GreeterProxy;
}
::p2p_runtime::__private::mocks! {
    #[doc =
    "Stands in for the service `greeter` ([`Greeter`]) in tests: answers as its `on_…` methods were told, and notes what it was asked. Clones are the same mock."]
    #[allow(unreachable_pub, dead_code)]
    #[::core::prelude::v1::derive(::core::fmt::Debug, ::core::clone::Clone)] pub struct
    MockGreeter { mock : ::p2p_runtime::__private::ServiceMock, }
}
const _: () = {
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_runtime::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    static __DESCRIPTOR: ::p2p_runtime::__private::LazyDescriptor = ::p2p_runtime::__private::LazyDescriptor::new(
        <Greeter as ::p2p_runtime::__private::Definition>::describe,
    );
    static __METHODS: [::p2p_runtime::__private::MethodSpec; 3usize] = [
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("greeter"),
            name: ::p2p_runtime::__private::Cow::Borrowed("greet"),
            path: ::p2p_runtime::__private::Cow::Borrowed("greeter/greet"),
            index: 0usize,
            params: ::p2p_runtime::__private::Cow::Borrowed(
                &[
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("name"),
                    },
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("times"),
                    },
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("title"),
                    },
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("ending"),
                    },
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("style"),
                    },
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("guests"),
                    },
                    ::p2p_runtime::__private::ParamSpec {
                        name: ::p2p_runtime::__private::Cow::Borrowed("like"),
                    },
                ],
            ),
            access: ::p2p_runtime::__private::Access::Public,
            idempotent: true,
            read_only: false,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::Some(
                ::core::time::Duration::from_millis(2000u64),
            ),
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("greeter"),
            name: ::p2p_runtime::__private::Cow::Borrowed("wipe"),
            path: ::p2p_runtime::__private::Cow::Borrowed("greeter/wipe"),
            index: 1usize,
            params: ::p2p_runtime::__private::Cow::Borrowed(&[]),
            access: ::p2p_runtime::__private::Access::Scope(
                ::p2p_runtime::__private::Cow::Borrowed("greetings:write"),
            ),
            idempotent: false,
            read_only: false,
            detached: true,
            track_metrics: false,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
        ::p2p_runtime::__private::MethodSpec {
            service: ::p2p_runtime::__private::Cow::Borrowed("greeter"),
            name: ::p2p_runtime::__private::Cow::Borrowed("count"),
            path: ::p2p_runtime::__private::Cow::Borrowed("greeter/count"),
            index: 2usize,
            params: ::p2p_runtime::__private::Cow::Borrowed(&[]),
            access: ::p2p_runtime::__private::Access::Role(
                ::p2p_runtime::__private::Role::Coordinator,
            ),
            idempotent: true,
            read_only: true,
            detached: false,
            track_metrics: true,
            streams: false,
            timeout: ::core::option::Option::None,
            descriptor: ::core::option::Option::Some(&__DESCRIPTOR),
        },
    ];
    static __SERVICE: ::p2p_runtime::__private::ServiceSpec = ::p2p_runtime::__private::ServiceSpec {
        name: ::p2p_runtime::__private::Cow::Borrowed("greeter"),
        version: ::p2p_runtime::__private::Cow::Borrowed("1.2.3"),
        methods: ::p2p_runtime::__private::Cow::Borrowed(&__METHODS),
        roles: ::p2p_runtime::__private::Cow::Borrowed(
            &[::p2p_runtime::__private::Role::Worker],
        ),
    };
    trait __Defaults {
        fn __default_greet_3() -> char;
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl __Defaults for Greeter {
        fn __default_greet_3() -> char {
            '!'
        }
    }
    #[allow(deprecated)]
    #[automatically_derived]
    impl ::p2p_runtime::__private::Definition for Greeter {
        const SPEC: &'static ::p2p_runtime::__private::ServiceSpec = &__SERVICE;
        fn describe() -> ::p2p_runtime::__private::ServiceDescriptor {
            let mut __service = ::p2p_runtime::__private::Describe::new(
                &__SERVICE,
                "Greets people.",
            );
            __service.method::<Result<Greeting>>(&__METHODS[0usize], "Says hello.");
            __service.param::<String>("name", ::core::option::Option::None);
            __service.param::<u32>("times", ::core::option::Option::None);
            __service.param::<Option<String>>("title", ::core::option::Option::None);
            __service
                .param::<
                    char,
                >(
                    "ending",
                    ::p2p_runtime::__private::to_value(
                        &<Greeter as __Defaults>::__default_greet_3(),
                    ),
                );
            __service
                .param::<
                    <str as ::p2p_runtime::__private::ToOwned>::Owned,
                >("style", ::core::option::Option::None);
            __service
                .param::<
                    <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                >("guests", ::core::option::Option::None);
            __service
                .param::<
                    <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                >("like", ::core::option::Option::None);
            __service.method::<Result<u64, Forgotten>>(&__METHODS[1usize], "");
            __service.method::<Counted>(&__METHODS[2usize], "");
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
                0usize => {
                    ::std::boxed::Box::pin(async move {
                        let (
                            __value_0,
                            __value_1,
                            __value_2,
                            __value_3,
                            __value_4,
                            __value_5,
                            __value_6,
                        ) = match __params
                            .straight(|__params| ::core::option::Option::Some((
                                __params
                                    .take::<
                                        String,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<String>::NEW).form(),
                                        ",\"name\":",
                                    )?,
                                __params
                                    .take::<
                                        u32,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<u32>::NEW).form(),
                                        ",\"times\":",
                                    )?,
                                __params
                                    .take::<
                                        Option<String>,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<Option<String>>::NEW)
                                            .form(),
                                        ",\"title\":",
                                    )?,
                                __params
                                    .take_given::<
                                        char,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<char>::NEW).form(),
                                        ",\"ending\":",
                                    )?,
                                __params
                                    .take::<
                                        <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<
                                            <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >::NEW)
                                            .form(),
                                        ",\"style\":",
                                    )?,
                                __params
                                    .take::<
                                        <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<
                                            <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >::NEW)
                                            .form(),
                                        ",\"guests\":",
                                    )?,
                                __params
                                    .take::<
                                        <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                                    >(
                                        (&::p2p_runtime::__private::Probe::<
                                            <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >::NEW)
                                            .form(),
                                        ",\"like\":",
                                    )?,
                            )))
                        {
                            ::core::option::Option::Some(__values) => __values,
                            ::core::option::Option::None => {
                                let mut __slots = __params
                                    .split(&__METHODS[0usize].params)?;
                                (
                                    __slots.take::<String>(0usize)?,
                                    __slots.take::<u32>(1usize)?,
                                    __slots.take::<Option<String>>(2usize)?,
                                    __slots.take_given::<char>(3usize)?,
                                    __slots
                                        .take::<
                                            <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >(4usize)?,
                                    __slots
                                        .take::<
                                            <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >(5usize)?,
                                    __slots
                                        .take::<
                                            <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                                        >(6usize)?,
                                )
                            }
                        };
                        let __value_3 = __value_3
                            .unwrap_or_else(<Greeter as __Defaults>::__default_greet_3);
                        ::p2p_runtime::__private::encode_outcome::<
                            Result<Greeting>,
                        >(
                            (&::p2p_runtime::__private::result_probe::<
                                Result<Greeting>,
                            >())
                                .form(),
                            __object
                                .greet(
                                    __cx,
                                    __value_0,
                                    __value_1,
                                    __value_2,
                                    __value_3,
                                    <_ as ::p2p_runtime::__private::Borrow<
                                        str,
                                    >>::borrow(&__value_4),
                                    <_ as ::p2p_runtime::__private::Borrow<
                                        [Guest],
                                    >>::borrow(&__value_5),
                                    <_ as ::p2p_runtime::__private::Borrow<
                                        Greeting,
                                    >>::borrow(&__value_6),
                                )
                                .await,
                        )
                    })
                }
                1usize => {
                    ::std::boxed::Box::pin(async move {
                        __params.split(&__METHODS[1usize].params)?;
                        ::p2p_runtime::__private::encode_outcome::<
                            Result<u64, Forgotten>,
                        >(
                            (&::p2p_runtime::__private::result_probe::<
                                Result<u64, Forgotten>,
                            >())
                                .form(),
                            __object.forget_all().await,
                        )
                    })
                }
                2usize => {
                    ::std::boxed::Box::pin(async move {
                        __params.split(&__METHODS[2usize].params)?;
                        ::p2p_runtime::__private::encode_outcome::<
                            Counted,
                        >(
                            (&::p2p_runtime::__private::result_probe::<Counted>())
                                .form(),
                            __object.count().await,
                        )
                    })
                }
                _ => ::p2p_runtime::__private::no_such_method("greeter", __cx, __params),
            }
        }
    }
    ::p2p_runtime::__private::mocks! {
        #[automatically_derived] impl ::core::default::Default for MockGreeter { fn
        default() -> Self { Self::new() } } #[automatically_derived] impl
        ::core::ops::Deref for MockGreeter { type Target =
        ::p2p_runtime::__private::ServiceMock; fn deref(& self) -> & Self::Target { &
        self.mock } } #[allow(unreachable_pub, dead_code, private_interfaces,
        private_bounds)] #[automatically_derived] impl MockGreeter { #[doc =
        r" A mock that knows no answer yet."] pub fn new() -> Self { Self { mock :
        ::p2p_runtime::__private::ServiceMock::new(& __SERVICE, "MockGreeter", &
        ["on_greet(|call, name, r#loop, title, ending, style, guests, like| Ok(…))",
        "on_forget_all(|call| Ok(…))", "on_count(|call| Ok(…))"]) } } #[doc =
        "Says what `greet` answers: the closure gets the call, then its params."] pub fn
        on_greet < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_runtime::__private::MockCall, String, u32, Option <
        String >, char, < str as ::p2p_runtime::__private::ToOwned > ::Owned, < [Guest]
        as ::p2p_runtime::__private::ToOwned > ::Owned, < Greeting as
        ::p2p_runtime::__private::ToOwned > ::Owned) -> __A + ::core::marker::Send +
        'static,) -> ::p2p_runtime::__private::Expectation where __A :
        ::p2p_runtime::__private::Answer < Result < Greeting >, __M >, { self.mock
        .expect(0usize, move | __call, __params | { let mut __slots = __params.split(&
        __METHODS[0usize].params) ?; let (__value_0, __value_1, __value_2, __value_3,
        __value_4, __value_5, __value_6,) = (__slots.take:: < String > (0usize) ?,
        __slots.take:: < u32 > (1usize) ?, __slots.take:: < Option < String > > (2usize)
        ?, __slots.take_given:: < char > (3usize) ?, __slots.take:: < < str as
        ::p2p_runtime::__private::ToOwned > ::Owned > (4usize) ?, __slots.take:: < <
        [Guest] as ::p2p_runtime::__private::ToOwned > ::Owned > (5usize) ?, __slots
        .take:: < < Greeting as ::p2p_runtime::__private::ToOwned > ::Owned > (6usize)
        ?,); let __value_3 = __value_3.unwrap_or_else(< Greeter as __Defaults >
        ::__default_greet_3);
        ::core::result::Result::Ok(::p2p_runtime::__private::Answer:: < Result < Greeting
        >, __M > ::begin(__answer(__call, __value_0, __value_1, __value_2, __value_3,
        __value_4, __value_5, __value_6))) }) } #[doc =
        "Says what `forget_all` answers: the closure gets the call, then its params."]
        pub fn on_forget_all < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_runtime::__private::MockCall,) -> __A +
        ::core::marker::Send + 'static,) -> ::p2p_runtime::__private::Expectation where
        __A : ::p2p_runtime::__private::Answer < Result < u64, Forgotten >, __M >, { self
        .mock.expect(1usize, move | __call, __params | { let _ = __params.split(&
        __METHODS[1usize].params) ?; let () = ();
        ::core::result::Result::Ok(::p2p_runtime::__private::Answer:: < Result < u64,
        Forgotten >, __M > ::begin(__answer(__call,))) }) } #[doc =
        "Says what `count` answers: the closure gets the call, then its params."] pub fn
        on_count < __A, __M > (& self, mut __answer : impl
        ::core::ops::FnMut(::p2p_runtime::__private::MockCall,) -> __A +
        ::core::marker::Send + 'static,) -> ::p2p_runtime::__private::Expectation where
        __A : ::p2p_runtime::__private::Answer < Counted, __M >, { self.mock
        .expect(2usize, move | __call, __params | { let _ = __params.split(&
        __METHODS[2usize].params) ?; let () = ();
        ::core::result::Result::Ok(::p2p_runtime::__private::Answer:: < Counted, __M >
        ::begin(__answer(__call,))) }) } }
    }
    #[automatically_derived]
    impl GreeterProxyExt for ::p2p_runtime::__private::Proxy {
        fn greeter(&self) -> GreeterProxy {
            GreeterProxy {
                core: ::p2p_runtime::__private::ProxyCore::new(self),
            }
        }
    }
    #[allow(unreachable_pub)]
    #[automatically_derived]
    impl GreeterProxy {
        /// The same service on one node of choice: a node id, a role, a capability.
        pub fn on(
            &self,
            target: impl ::core::convert::Into<::p2p_runtime::__private::One>,
        ) -> GreeterProxy<::p2p_runtime::__private::OnOne> {
            GreeterProxy {
                core: self.core.on(target),
            }
        }
        /// The same service on every node that fits: a role, a capability, a list of ids, all, others.
        pub fn on_all(
            &self,
            target: impl ::core::convert::Into<::p2p_runtime::__private::Many>,
        ) -> GreeterProxy<::p2p_runtime::__private::OnMany> {
            GreeterProxy {
                core: self.core.on_all(target),
            }
        }
    }
    #[allow(private_interfaces, private_bounds, unreachable_pub, deprecated)]
    #[automatically_derived]
    impl<__K: ::p2p_runtime::__private::TargetKind> GreeterProxy<__K> {
        /// Says hello.
        pub fn greet(
            &self,
            name: impl ::core::convert::Into<::p2p_runtime::__private::String>,
            r#loop: u32,
            title: Option<String>,
            ending: char,
            style: &str,
            guests: &[Guest],
            like: &Greeting,
        ) -> __K::Reply<
            <Result<Greeting> as ::p2p_runtime::__private::Outcome>::Ok,
            <Result<Greeting> as ::p2p_runtime::__private::Outcome>::Err,
        > {
            self.core
                .call::<
                    Greeter,
                    (
                        String,
                        u32,
                        Option<String>,
                        char,
                        <str as ::p2p_runtime::__private::ToOwned>::Owned,
                        <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                        <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                    ),
                    Result<Greeting>,
                    _,
                    _,
                >(
                    &__METHODS[0usize],
                    (
                        ::core::convert::Into::into(name),
                        r#loop,
                        title,
                        ending,
                        <str as ::p2p_runtime::__private::ToOwned>::to_owned(style),
                        <[Guest] as ::p2p_runtime::__private::ToOwned>::to_owned(guests),
                        <Greeting as ::p2p_runtime::__private::ToOwned>::to_owned(like),
                    ),
                    ::p2p_runtime::__private::Codec {
                        encode: |params, out| {
                            out.field::<
                                    String,
                                >(
                                (&::p2p_runtime::__private::Probe::<String>::NEW).form(),
                                ",\"name\":",
                                &params.0,
                            )?;
                            out.field::<
                                    u32,
                                >(
                                (&::p2p_runtime::__private::Probe::<u32>::NEW).form(),
                                ",\"times\":",
                                &params.1,
                            )?;
                            out.field::<
                                    Option<String>,
                                >(
                                (&::p2p_runtime::__private::Probe::<Option<String>>::NEW)
                                    .form(),
                                ",\"title\":",
                                &params.2,
                            )?;
                            {
                                static __DEFAULT: ::p2p_runtime::__private::DefaultJson = ::p2p_runtime::__private::DefaultJson::new();
                                out.unless_default::<
                                        char,
                                    >(
                                    (&::p2p_runtime::__private::Probe::<char>::NEW).form(),
                                    ",\"ending\":",
                                    &params.3,
                                    &__DEFAULT,
                                    <Greeter as __Defaults>::__default_greet_3,
                                )?;
                            }
                            out.field::<
                                    <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                >(
                                (&::p2p_runtime::__private::Probe::<
                                    <str as ::p2p_runtime::__private::ToOwned>::Owned,
                                >::NEW)
                                    .form(),
                                ",\"style\":",
                                &params.4,
                            )?;
                            out.field::<
                                    <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                                >(
                                (&::p2p_runtime::__private::Probe::<
                                    <[Guest] as ::p2p_runtime::__private::ToOwned>::Owned,
                                >::NEW)
                                    .form(),
                                ",\"guests\":",
                                &params.5,
                            )?;
                            out.field::<
                                    <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                                >(
                                (&::p2p_runtime::__private::Probe::<
                                    <Greeting as ::p2p_runtime::__private::ToOwned>::Owned,
                                >::NEW)
                                    .form(),
                                ",\"like\":",
                                &params.6,
                            )?;
                            ::core::result::Result::Ok(())
                        },
                        decode: |json| {
                            (&::p2p_runtime::__private::result_probe::<
                                Result<Greeting>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |
                        here: ::p2p_runtime::__private::Here<Greeter>,
                        (
                            __value_0,
                            __value_1,
                            __value_2,
                            __value_3,
                            __value_4,
                            __value_5,
                            __value_6,
                        )|
                    async move {
                        let cx = here.context();
                        here.run::<
                                Result<Greeting>,
                            >(
                                here
                                    .object()
                                    .greet(
                                        &cx,
                                        __value_0,
                                        __value_1,
                                        __value_2,
                                        __value_3,
                                        <_ as ::p2p_runtime::__private::Borrow<
                                            str,
                                        >>::borrow(&__value_4),
                                        <_ as ::p2p_runtime::__private::Borrow<
                                            [Guest],
                                        >>::borrow(&__value_5),
                                        <_ as ::p2p_runtime::__private::Borrow<
                                            Greeting,
                                        >>::borrow(&__value_6),
                                    ),
                            )
                            .await
                    },
                )
        }
        pub fn forget_all(
            &self,
        ) -> __K::Reply<
            <Result<u64, Forgotten> as ::p2p_runtime::__private::Outcome>::Ok,
            <Result<u64, Forgotten> as ::p2p_runtime::__private::Outcome>::Err,
        > {
            self.core
                .call::<
                    Greeter,
                    (),
                    Result<u64, Forgotten>,
                    _,
                    _,
                >(
                    &__METHODS[1usize],
                    (),
                    ::p2p_runtime::__private::Codec {
                        encode: |_, _| { ::core::result::Result::Ok(()) },
                        decode: |json| {
                            (&::p2p_runtime::__private::result_probe::<
                                Result<u64, Forgotten>,
                            >())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_runtime::__private::Here<Greeter>, ()| async move {
                        here.run::<Result<u64, Forgotten>>(here.object().forget_all())
                            .await
                    },
                )
        }
        pub fn count(
            &self,
        ) -> __K::Reply<
            <Counted as ::p2p_runtime::__private::Outcome>::Ok,
            <Counted as ::p2p_runtime::__private::Outcome>::Err,
        > {
            self.core
                .call::<
                    Greeter,
                    (),
                    Counted,
                    _,
                    _,
                >(
                    &__METHODS[2usize],
                    (),
                    ::p2p_runtime::__private::Codec {
                        encode: |_, _| { ::core::result::Result::Ok(()) },
                        decode: |json| {
                            (&::p2p_runtime::__private::result_probe::<Counted>())
                                .form()
                                .decode(json)
                        },
                    },
                    |here: ::p2p_runtime::__private::Here<Greeter>, ()| async move {
                        here.run::<Counted>(here.object().count()).await
                    },
                )
        }
    }
    #[automatically_derived]
    impl ::p2p_runtime::__private::Hosted<()> for Greeter {
        fn spec() -> &'static ::p2p_runtime::__private::ServiceSpec {
            &__SERVICE
        }
        fn host(self: ::std::sync::Arc<Self>) -> ::p2p_runtime::__private::Hosting {
            let hosting = ::p2p_runtime::__private::Hosting::new(
                ::std::sync::Arc::new(
                    ::p2p_runtime::__private::Local::<
                        Greeter,
                    >::new(::core::clone::Clone::clone(&self)),
                ),
            );
            let object = ::core::clone::Clone::clone(&self);
            let hosting = hosting
                .initialize(move |cx: ::p2p_runtime::__private::Context| {
                    let object = ::core::clone::Clone::clone(&object);
                    ::std::boxed::Box::pin(async move { object.initialize(&cx).await })
                });
            let object = ::core::clone::Clone::clone(&self);
            let hosting = hosting
                .cleanup(move |_: ::p2p_runtime::__private::Context| {
                    let object = ::core::clone::Clone::clone(&object);
                    ::std::boxed::Box::pin(async move { object.cleanup().await })
                });
            hosting
        }
    }
    ::p2p_runtime::__private::inventory::submit! {
        ::p2p_runtime::__private::ServiceEntry::new(::core::module_path!(), || &
        __SERVICE, & [], | cx | ::std::boxed::Box::pin(async move { let object :
        ::core::option::Option < ::std::sync::Arc < Greeter >> =
        ::core::option::Option::Some(::std::sync::Arc:: < Greeter > ::new(< Greeter >
        ::new(cx). await ?)); ::core::result::Result::Ok(object.map(< Greeter as
        ::p2p_runtime::__private::Hosted < () >> ::host)) }))
    }
};
