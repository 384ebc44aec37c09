const _: () = {
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_runtime::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    #[allow(
        deprecated,
        unreachable_code,
        unused_variables,
        clippy::all,
        clippy::pedantic
    )]
    #[automatically_derived]
    impl ::p2p_runtime::__private::Message for Progress {
        fn write(
            &self,
            __out: &mut ::std::vec::Vec<u8>,
        ) -> ::p2p_runtime::__private::JsonResult<()> {
            match self {
                Self::NotStarted {} => {
                    __out.extend_from_slice(b"\"not_started\"");
                }
                Self::Running { 0: __value_0 } => {
                    __out.extend_from_slice(b"{\"running\":");
                    (&::p2p_runtime::__private::Probe::<Percent>::NEW)
                        .form()
                        .write(__value_0, __out)?;
                    __out.push(b'}');
                }
                Self::Between { 0: __value_0, 1: __value_1 } => {
                    __out.extend_from_slice(b"{\"between\":[");
                    (&::p2p_runtime::__private::Probe::<u64>::NEW)
                        .form()
                        .write(__value_0, __out)?;
                    __out.push(b',');
                    (&::p2p_runtime::__private::Probe::<u64>::NEW)
                        .form()
                        .write(__value_1, __out)?;
                    __out.extend_from_slice(b"]}");
                }
                Self::Failed { code: __value_0, reason: __value_1 } => {
                    __out.extend_from_slice(b"{\"failed\":{\"code\":");
                    (&::p2p_runtime::__private::Probe::<i32>::NEW)
                        .form()
                        .write(__value_0, __out)?;
                    __out.extend_from_slice(b",\"why\":");
                    (&::p2p_runtime::__private::Probe::<Option<String>>::NEW)
                        .form()
                        .write(__value_1, __out)?;
                    __out.extend_from_slice(b"}}");
                }
            }
            ::core::result::Result::Ok(())
        }
        fn read(
            __reader: &mut ::p2p_runtime::__private::Reader<'_>,
        ) -> ::core::option::Option<Self> {
            let (__name, __holds) = __reader.variant()?;
            match (&*__name, __holds) {
                ("not_started", false) => {
                    ::core::option::Option::Some(Self::NotStarted {})
                }
                ("running", true) => {
                    let __value_0: Percent = (&::p2p_runtime::__private::Probe::<
                        Percent,
                    >::NEW)
                        .form()
                        .read(__reader)?;
                    __reader.close("}")?;
                    ::core::option::Option::Some(Self::Running { 0: __value_0 })
                }
                ("between", true) => {
                    __reader.open("[")?;
                    let __value_0: u64 = (&::p2p_runtime::__private::Probe::<u64>::NEW)
                        .form()
                        .read(__reader)?;
                    __reader.literal(",")?;
                    let __value_1: u64 = (&::p2p_runtime::__private::Probe::<u64>::NEW)
                        .form()
                        .read(__reader)?;
                    __reader.close("]")?;
                    __reader.close("}")?;
                    ::core::option::Option::Some(Self::Between {
                        0: __value_0,
                        1: __value_1,
                    })
                }
                ("failed", true) => {
                    __reader.open("{\"code\":")?;
                    let __value_0: i32 = (&::p2p_runtime::__private::Probe::<i32>::NEW)
                        .form()
                        .read(__reader)?;
                    __reader.literal(",\"why\":")?;
                    let __value_1: Option<String> = (&::p2p_runtime::__private::Probe::<
                        Option<String>,
                    >::NEW)
                        .form()
                        .read(__reader)?;
                    __reader.close("}")?;
                    __reader.close("}")?;
                    ::core::option::Option::Some(Self::Failed {
                        code: __value_0,
                        reason: __value_1,
                    })
                }
                _ => ::core::option::Option::None,
            }
        }
    }
};
