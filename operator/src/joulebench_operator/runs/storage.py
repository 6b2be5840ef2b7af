"""Where an attempt's results go."""

from dataclasses import dataclass

from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.storage import ClaimTemplate
from joulebench_operator import objects
from joulebench_operator.decision import Child
from joulebench_operator.kinds import CLAIM
from joulebench_operator.names import RUN_LABEL
from joulebench_operator.runs.names import Names
from joulebench_operator.servers.model_files import sub_path

RESULTS_PART = "results"


@dataclass(frozen=True)
class Storage:
    """A claim, or an object store."""

    url: str
    """Of the attempt's folder: `pvc://NAMESPACE/CLAIM/FOLDER`, or below the object store's address."""
    folder: str
    """The attempt's own, below the mounted claim or empty folder."""
    claim: str | None = None
    """The claim's name; None: results are copied to an object store, and lie in an empty folder meanwhile."""
    template: ClaimTemplate | None = None
    """Of a claim that is made for the run."""
    credentials: str | None = None
    """The Secret with an object store's credentials."""

    @property
    def store_url(self) -> str | None:
        """The attempt's folder in the object store."""
        return self.url if self.claim is None else None


def storage(spec: BenchmarkRunSpec, names: Names, *, namespace: str) -> Storage:
    """Where the results of an attempt go; the run's defaults are filled in."""
    store = spec.results.store
    if store is not None and store.object_store is not None:
        secret = store.object_store.credentials_secret_ref
        url = f"{store.object_store.url.rstrip('/')}/{names.folder}"
        return Storage(url, names.folder, credentials=None if secret is None else secret.name)
    if store is not None and store.claim is not None:
        below = sub_path(store.claim.path, field="spec.results.store.claim.path")
        folder = names.folder if below is None else f"{below}/{names.folder}"
        return Storage(_claim_url(namespace, store.claim.name, folder), folder, claim=store.claim.name)
    template = None if store is None else store.claim_template
    url = _claim_url(namespace, names.results, names.folder)
    return Storage(url, names.folder, claim=names.results, template=template)


def _claim_url(namespace: str, claim: str, folder: str) -> str:
    return f"pvc://{namespace}/{claim}/{folder}"


def claim(template: ClaimTemplate, names: Names, *, namespace: str) -> Child:
    """The claim for the results. It is never changed, and goes only with the run itself."""
    spec: objects.Object = {
        "accessModes": list(map(str, template.access_modes)),
        "resources": {"requests": {"storage": template.size}},
    }
    if template.storage_class_name is not None:
        spec["storageClassName"] = template.storage_class_name
    labels = objects.labels(RESULTS_PART, instance=names.run, **{RUN_LABEL: names.run})
    return Child(objects.new(CLAIM, name=names.results, namespace=namespace, labels=labels, spec=spec), once=True)
