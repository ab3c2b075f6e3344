"""What is said of settings that are wrong, to whoever starts a process."""

import pytest

from services.ingest.settings import IngestSettings
from services.notifier.settings import NotifierSettings
from shared.errors import ConfigurationError
from shared.settings import Settings, read_settings


@pytest.mark.parametrize("kind", [Settings, IngestSettings, NotifierSettings])
def test_a_wrong_setting_is_named_by_its_variable_and_not_shown(
    kind: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_KAFKA__PARTITIONS", "canary")
    with pytest.raises(ConfigurationError) as wrong:
        read_settings(kind)
    assert "HEADROOM_KAFKA__PARTITIONS: " in wrong.value.what
    assert "canary" not in str(wrong.value)
    assert wrong.value.do


def test_one_that_should_be_json_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_INGEST__HUBSPOT", "{canary")
    with pytest.raises(ConfigurationError) as wrong:
        read_settings(IngestSettings)
    assert "HEADROOM_INGEST" in wrong.value.what
    assert "canary" not in str(wrong.value)
