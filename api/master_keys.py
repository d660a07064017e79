"""The master keys that the settings name, wherever they are kept."""

from pathlib import Path

from api.settings import Settings
from api.vault.key_services import TransitServer
from api.vault.keys import MasterKeys


def master_keys(settings: Settings) -> MasterKeys:
    """The operator's master keys, or those of the local default's key file. Raises KeyTrouble."""
    transit = None
    if settings.transit_url is not None and settings.transit_token is not None:
        transit = TransitServer(settings.transit_url, settings.transit_token, settings.egress_ca_file)
    if settings.keys is not None:
        return MasterKeys.from_text(settings.keys.reveal(), transit=transit)
    return MasterKeys.from_file(key_file(settings), transit=transit)


def key_file(settings: Settings) -> Path:
    return settings.key_file or settings.data_folder / "master.key"
