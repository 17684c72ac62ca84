"""Quantised precisions of the transformers engine: torchao, bitsandbytes and quanto. All store the weights of linear
layers in fewer bits and leave embeddings, norms and the output head in the compute precision."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques import precision_conditions as conditions
from engines.techniques.model import Technique
from engines.techniques.precision import no_bfloat16

_eight = partial(Technique, group="8 bit", bits=8, changes="linear")
_four = partial(Technique, group="4 bit", bits=4, changes="linear")
_TORCHAO = ("torch", "transformers", "torchao")
_BITSANDBYTES = ("torch", "transformers", "accelerate", "bitsandbytes")
_QUANTO = ("torch", "transformers", "accelerate", "optimum-quanto")

COMPUTE = Setting(
    name="compute",
    title="Compute precision",
    type="text",
    default="auto",
    choices=("auto", "float32", "bfloat16", "float16"),
    help="auto: bfloat16 where the device has instructions for it, float32 on other processors.",
)
_THRESHOLD = Setting(
    name="threshold",
    title="Threshold",
    type="float",
    default=6.0,
    minimum=0.0,
    maximum=1000.0,
    help="Activations above it are multiplied in 16 bits (6 in the paper); 0 multiplies all in 8.",
)
_DOUBLE = Setting(
    name="double_quantisation",
    title="Double quantisation",
    type="bool",
    default=False,
    help="Stores the scales in 8 bits too: 4.13 instead of 4.5 bits per weight.",
)
_GROUP_SIZE = Setting(
    name="group_size",
    title="Group size",
    type="text",
    default="auto",
    choices=("auto", "32", "64", "128", "256"),
    unit="weights",
    help="Weights that share a scale. auto: the largest of 128, 64 and 32 that divides every layer's width.",
)

_bitsandbytes_four = partial(
    _four,
    source="Dettmers et al. 2023 (QLoRA), arXiv 2305.14314",
    implementation="engines.hf.precision_bitsandbytes:load_four_bit",
    works=("inference", "training"),
    parameters=(_DOUBLE, COMPUTE),
    packages=_BITSANDBYTES,
    obstacle=conditions.bnb_four_against,
    note=conditions.with_share(conditions.bnb_four_note),
    slow=conditions.bnb_four_slow,
    stored_bits=conditions.bnb_four_bits,
)

TECHNIQUES = (
    _eight(
        id="precision.int8",
        title="int8",
        sentence="8-bit integer weights in the linear layers (torchao).",
        source="torchao Int8WeightOnlyConfig, https://github.com/pytorch/ao",
        implementation="engines.hf.precision_torchao:load_int8",
        parameters=(COMPUTE,),
        packages=_TORCHAO,
        obstacle=conditions.linear_layers,
        note=conditions.with_share(conditions.widened("torchao")),
        slow=conditions.on_processor,
    ),
    _eight(
        id="precision.llm-int8",
        title="LLM.int8()",
        sentence="8-bit weights and activations, outliers in 16 bits (bitsandbytes).",
        source="Dettmers et al. 2022, arXiv 2208.07339",
        implementation="engines.hf.precision_bitsandbytes:load_llm_int8",
        parameters=(_THRESHOLD, COMPUTE),
        packages=_BITSANDBYTES,
        obstacle=conditions.llm_int8_against,
        note=conditions.with_share(conditions.llm_int8_note),
        slow=conditions.on_processor,
    ),
    _eight(
        id="precision.quanto-int8",
        title="quanto int8",
        sentence="8-bit integer weights in the linear layers (optimum-quanto).",
        source="optimum-quanto, https://github.com/huggingface/optimum-quanto",
        implementation="engines.hf.precision_quanto:load_quanto",
        parameters=(COMPUTE,),
        packages=_QUANTO,
        obstacle=conditions.linear_layers,
        note=conditions.with_share(conditions.quanto_eight_note),
        slow=no_bfloat16,
    ),
    _eight(
        id="precision.float8",
        title="float8",
        sentence="8-bit floating-point weights (e4m3), multiplied in the compute precision (torchao).",
        source="Micikevicius et al. 2022, arXiv 2209.05433; torchao Float8WeightOnlyConfig",
        implementation="engines.hf.precision_torchao:load_float8",
        parameters=(COMPUTE,),
        packages=_TORCHAO,
        obstacle=conditions.float8_against,
        note=conditions.with_share(),
    ),
    _eight(
        id="precision.float8-dynamic",
        title="float8 dynamic",
        sentence="8-bit floating-point weights and activations, multiplied in float8 (torchao).",
        source="Micikevicius et al. 2022, arXiv 2209.05433; torchao Float8DynamicActivationFloat8WeightConfig",
        implementation="engines.hf.precision_torchao:load_float8_dynamic",
        packages=_TORCHAO,
        obstacle=conditions.float8_dynamic_against,
        note=conditions.with_share(),
    ),
    _bitsandbytes_four(
        id="precision.nf4",
        title="nf4",
        sentence="4 bits at the quantiles of a normal distribution, a scale for 64 weights (bitsandbytes).",
    ),
    _bitsandbytes_four(
        id="precision.fp4",
        title="fp4",
        sentence="4-bit floating point, a scale for 64 weights (bitsandbytes).",
    ),
    _four(
        id="precision.int4",
        title="int4",
        sentence="4-bit integer weights in groups, multiplied in bfloat16 (torchao).",
        source="torchao Int4WeightOnlyConfig, https://github.com/pytorch/ao",
        implementation="engines.hf.precision_torchao:load_int4",
        parameters=(_GROUP_SIZE,),
        packages=_TORCHAO,
        obstacle=conditions.int4_against,
        note=conditions.with_share(conditions.int4_note),
        stored_bits=conditions.int4_bits,
    ),
    _four(
        id="precision.quanto-int4",
        title="quanto int4",
        sentence="4-bit integer weights in groups of at most 128 (optimum-quanto).",
        source="optimum-quanto, https://github.com/huggingface/optimum-quanto",
        implementation="engines.hf.precision_quanto:load_quanto",
        parameters=(COMPUTE,),
        packages=_QUANTO,
        obstacle=conditions.linear_layers,
        note=conditions.with_share(conditions.widened("quanto")),
        slow=conditions.on_processor,
        stored_bits=conditions.quanto_four_bits,
    ),
)
