"""What counts as different software on the nodes of a cluster."""

from femseg.services.cluster.node_agreement import differences, software


def test_nodes_with_the_same_software_do_not_differ_CL_05():
    assert differences({"the driver": software(), "a": software(), "b": dict(reversed(software().items()))}) == {}


def test_each_difference_is_listed_with_what_every_node_has_CL_05():
    here = {"torch": "2.13.0", "ray": "2.60.0"}
    found = differences({"the driver": here, "a": here | {"torch": "2.12.0"}, "b": {"ray": "2.60.0"}})
    assert found == {"torch": {"the driver": "2.13.0", "a": "2.12.0", "b": "?"}}


def test_software_names_python_the_packages_and_the_code():
    found = software()
    assert {"python", "femseg", "ray", "torch", "femseg's code"} <= set(found)
    assert "missing" not in found.values()
