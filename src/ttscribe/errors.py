"""Every error that a user can cause or meet, one class each; the message says what to do.

TtscribeError
├── AudioError
│   ├── AudioNotFound            no such file, or not a file
│   ├── AudioUnreadable          not audio, empty, damaged or cut short
│   ├── NoAudioStream            a video or image without sound
│   ├── AudioTooLong             goes on beyond the longest duration that is allowed
│   └── InvalidSamples           no samples, NaN or infinite ones, an impossible rate or shape
├── ModelError
│   ├── ModelNotFound            neither a path, nor on this machine, nor to be downloaded
│   ├── CheckpointInvalid        damaged, incomplete or of another architecture; names the tensor
│   └── VocabularyMismatch       the tokenizer is not the one that the weights were trained with
├── OptionError                  an option's value, or two options that do not go together
│   └── LanguageUnsupported      a language that this model does not know
├── CompileError                 the module cannot be compiled, or not as asked
│   └── FallbackRefused          strict, and operations would stay on the host; lists them
├── DeviceError
│   ├── DeviceUnavailable        the device is not on this machine, or what was on it was closed
│   ├── StateGone                a state that a device no longer holds: it has begun another decoding since
│   ├── CallRefused              TT-NN refuses a call of a program; names the program and the step
│   └── EmulationError           the emulator cannot run a call, or is given what does not fit; names both
└── OutputError                  a file or folder that cannot be written
"""


def with_extra(name: str) -> str:
    """What to do where packages of an extra are missing, true of a clone and of a wheel: ttscribe is in no registry."""
    return f"install ttscribe with its extra {name!r} (docs/install.md)"


def reason(error: BaseException) -> str:
    """What an error of a library says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


class TtscribeError(Exception):
    """Base of all errors raised on purpose: ``str(error)`` is one line that says what to do.

    FallbackRefused alone has more: a line for each kind of operation.
    """


class AudioError(TtscribeError):
    """The recording cannot be used."""


class AudioNotFound(AudioError):
    """The path names no file."""


class AudioUnreadable(AudioError):
    """The bytes are not audio, or the recording is empty, damaged or cut short."""


class NoAudioStream(AudioError):
    """The container was opened but has no sound."""


class AudioTooLong(AudioError):
    """The recording goes on beyond the longest duration that is allowed: perhaps it never ends."""


class InvalidSamples(AudioError):
    """The samples, their shape or their rate make no sense."""


class ModelError(TtscribeError):
    """The model cannot be loaded."""


class ModelNotFound(ModelError):
    """The model is not here and cannot be downloaded."""


class CheckpointInvalid(ModelError):
    """The checkpoint is damaged, incomplete or not Whisper's."""


class VocabularyMismatch(ModelError):
    """The tokenizer does not belong to the weights."""


class OptionError(TtscribeError):
    """An option has an impossible value, or contradicts another."""


class LanguageUnsupported(OptionError):
    """The model does not know the language."""


class CompileError(TtscribeError):
    """The module cannot be compiled, or not as asked."""


class FallbackRefused(CompileError):
    """Operations would stay on the host although the caller asked for none.

    The message's second line counts operations, and each line after that has a kind of them and why it stays.
    """


class DeviceError(TtscribeError):
    """A device cannot do what is asked of it."""


class DeviceUnavailable(DeviceError):
    """The device is not on this machine, or what was on it was closed."""


class StateGone(DeviceError):
    """Encoder states or a decoder state whose memory another decoding has taken since."""


class CallRefused(DeviceError):
    """TT-NN refuses a call of a program; the message has the program, the step, and TT-NN's first line."""


class EmulationError(DeviceError):
    """A program cannot be emulated: the message names the operation and says why."""


class OutputError(TtscribeError):
    """A file or folder cannot be written."""
