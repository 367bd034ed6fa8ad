"""The reference: a paho MQTT 3.1.1 consumer at QoS 1 with the default loop, whose callback only counts.

`python -m tests.benchmarks.noop URL FILTER COUNT` prints one JSON object when COUNT messages have come.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main() -> None:
    url, topic_filter, wanted = urlsplit(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="noop", clean_session=False, protocol=mqtt.MQTTv311)
    seen = 0

    def on_message(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == wanted:
            client.disconnect()

    def on_connect(*_: object) -> None:
        client.subscribe(topic_filter, 1)

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: print("ready", flush=True)  # noqa: T201
    client.connect(url.hostname or "", url.port or 1883)
    client.loop_forever()
    used = resource.getrusage(resource.RUSAGE_SELF)
    answer = {"ended": time.time(), "cpu_s": used.ru_utime + used.ru_stime, "peak_rss_mb": used.ru_maxrss / 1024}
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main()
