"""Chat templates as models of other makers are trained with, for a tokenizer that came without one.

`tokenizer.chat_template = lk.text.CHAT_TEMPLATES["chatml"]`. They are written for this library, in the language of
Jinja2, and write what those makers describe. Their marks are special tokens where the tokenizer has them, and text
where not: a model must have been trained with the same.
"""

CHATML = """\
{% for message in messages %}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
"""

LLAMA2 = """\
{% for message in messages %}
{% if message.role == 'user' %}
{{ bos_token + '[INST] ' }}
{%- if loop.index0 == 1 and messages[0].role == 'system' %}
{{ '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' }}
{%- endif %}
{{ message.content | trim + ' [/INST]' }}
{%- elif message.role == 'assistant' %}
{{ ' ' + message.content | trim + ' ' + eos_token }}
{%- elif not loop.first %}
{{ raise_exception("a system's message is the first one") }}
{%- endif %}
{% endfor %}
"""

LLAMA3 = """\
{{ bos_token }}
{%- for message in messages %}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

ZEPHYR = """\
{% for message in messages %}
{{ '<|' + message.role + '|>\\n' + message.content + eos_token + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>\\n' }}
{%- endif %}
"""

CHAT_TEMPLATES = {"chatml": CHATML, "llama2": LLAMA2, "llama3": LLAMA3, "zephyr": ZEPHYR}
