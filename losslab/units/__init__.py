"""Units of a language model's score, turning one into another, and the audit of claims about them."""

from losslab.units.conversions import bits_per_byte as bits_per_byte
from losslab.units.conversions import bits_per_byte_from_nll as bits_per_byte_from_nll
from losslab.units.conversions import bits_to_nats as bits_to_nats
from losslab.units.conversions import byte_perplexity as byte_perplexity
from losslab.units.conversions import compression_ratio as compression_ratio
from losslab.units.conversions import nats_to_bits as nats_to_bits
from losslab.units.conversions import nll_from_bits_per_byte as nll_from_bits_per_byte
from losslab.units.conversions import nll_from_perplexity as nll_from_perplexity
from losslab.units.conversions import perplexity as perplexity
from losslab.units.conversions import word_perplexity as word_perplexity
