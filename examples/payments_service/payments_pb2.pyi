from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RefundPaymentRequest(_message.Message):
    __slots__ = ("organization", "payment", "amount")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    organization: str
    payment: str
    amount: int
    def __init__(self, organization: _Optional[str] = ..., payment: _Optional[str] = ..., amount: _Optional[int] = ...) -> None: ...

class CancelRefundRequest(_message.Message):
    __slots__ = ("organization", "refund")
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    organization: str
    refund: str
    def __init__(self, organization: _Optional[str] = ..., refund: _Optional[str] = ...) -> None: ...

class Refund(_message.Message):
    __slots__ = ("id", "payment", "amount", "status")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATUS_UNSPECIFIED: _ClassVar[Refund.Status]
        STATUS_PENDING: _ClassVar[Refund.Status]
        STATUS_CANCELED: _ClassVar[Refund.Status]
    STATUS_UNSPECIFIED: Refund.Status
    STATUS_PENDING: Refund.Status
    STATUS_CANCELED: Refund.Status
    ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    id: str
    payment: str
    amount: int
    status: Refund.Status
    def __init__(self, id: _Optional[str] = ..., payment: _Optional[str] = ..., amount: _Optional[int] = ..., status: _Optional[_Union[Refund.Status, str]] = ...) -> None: ...
