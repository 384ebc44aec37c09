const _: () = {
    #[allow(unused_imports, reason = "which of them are needed is for the types to say")]
    use ::p2p_services::__private::{Form as _, ViaMessage as _, ViaSerde as _};
    #[allow(
        deprecated,
        unreachable_code,
        unused_variables,
        clippy::all,
        clippy::pedantic
    )]
    #[automatically_derived]
    impl ::p2p_services::__private::Message for Shape {
        fn write(
            &self,
            __out: &mut ::std::vec::Vec<u8>,
        ) -> ::p2p_services::__private::JsonResult<()> {
            ::p2p_services::__private::Plain.write(self, __out)
        }
        fn read(
            __reader: &mut ::p2p_services::__private::Reader<'_>,
        ) -> ::core::option::Option<Self> {
            ::p2p_services::__private::Plain.read(__reader)
        }
    }
};
