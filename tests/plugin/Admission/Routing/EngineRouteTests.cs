// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Admission.Routing;

namespace Runai.GpuMemory.Tests.Admission.Routing;

sealed class EngineRouteTests
{
    [TestCase("POST", "/containers/create", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "/v1.41/containers/create?name=web", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "/v1.41/containers/create?name=/auth", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "http://docker/v1.41/containers/create", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "HTTP://anything:99/containers/create?a=b", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "http:/containers/web/start", RouteKind.ContainerStart, "web")]
    [TestCase("POST", "a+b-1.c:/v1.41/containers/web/start?x=y", RouteKind.ContainerStart, "web")]
    [TestCase("POST", "http:///containers/web/start", RouteKind.ContainerStart, "web")]
    [TestCase("POST", "http:/x://y/containers/web/start", RouteKind.Unknown, "/x://y/containers/web/start")]
    [TestCase("POST", "http://x?/containers/web/start", RouteKind.Unknown, "")]
    [TestCase("POST", "http:containers/web/start", RouteKind.Unknown, "")]
    [TestCase("POST", "//containers/web/start", RouteKind.Unknown, "//containers/web/start")]
    [TestCase("POST", "/v1.41/%63ontainers/creat%65", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "/v1.41/containers%2Fcreate", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "/v1..41/containers/create", RouteKind.ContainerCreate, "")]
    [TestCase("POST", "/v1.41/containers/web/start", RouteKind.ContainerStart, "web")]
    [TestCase("POST", "/containers/web/start", RouteKind.ContainerStart, "web")]
    [TestCase("POST", "/v1.41/containers/we%62/%73tart?detachKeys=", RouteKind.ContainerStart, "web")]
    [TestCase("POST", "/v1.41/containers/parent/alias/start", RouteKind.ContainerStart, "parent/alias")]
    [TestCase("POST", "/v1.41/containers/create/start", RouteKind.ContainerStart, "create")]
    [TestCase("POST", "/v1.41/containers/web%23/start", RouteKind.ContainerStart, "web#")]
    [TestCase("POST", "/v1.41/containers/web#/start", RouteKind.ContainerStart, "web#")]
    [TestCase("POST", "/v1.41/containers/web%00/start", RouteKind.ContainerStart, "web\0")]
    [TestCase("POST", "/v1.41/containers/w%C3%A9b/start", RouteKind.ContainerStart, "wéb")]
    [TestCase("POST", "/v1.41/containers/web%/start", RouteKind.ContainerStart, "web%")]
    [TestCase("POST", "/v1.41/containers/web/restart?t=1", RouteKind.ContainerRestart, "web")]
    [TestCase("POST", "/v1.41/containers/web/update", RouteKind.Exempt, "web")]
    [TestCase("POST", "/v1.41/containers/web/rename?name=x", RouteKind.ContainerRename, "web")]
    [TestCase("POST", "/v1.41/containers/web/exec", RouteKind.ExecCreate, "web")]
    [TestCase("POST", "/v1.41/exec/0123/start", RouteKind.ExecStart, "0123")]
    [TestCase("PUT", "/v1.41/containers/web/archive?path=/etc", RouteKind.ContainerArchivePut, "web")]
    [TestCase("POST", "/v1.41/commit?container=web", RouteKind.Commit, "")]
    [TestCase("POST", "/v1.41/volumes/create", RouteKind.VolumeCreate, "")]
    [TestCase("POST", "/v1.41/volumes/prune", RouteKind.Exempt, "")]
    [TestCase("DELETE", "/v1.41/volumes/runai?force=1", RouteKind.VolumeRemove, "runai")]
    [TestCase(
        "POST",
        "/v1.41/plugins/runai/gpu-memory:latest/disable",
        RouteKind.PluginChange,
        "runai/gpu-memory:latest/disable"
    )]
    [TestCase("DELETE", "/v1.41/plugins/0123", RouteKind.PluginChange, "0123")]
    [TestCase("GET", "/_ping", RouteKind.Exempt, "")]
    [TestCase("HEAD", "/_ping", RouteKind.Exempt, "")]
    [TestCase("GET", "/v1.41/containers/json", RouteKind.Exempt, "")]
    [TestCase("GET", "/v1.41/containers/create", RouteKind.Unknown, "/containers/create")]
    [TestCase("GET", "/v1.41/containers/web/archive?path=/etc", RouteKind.ContainerArchiveGet, "web")]
    [TestCase("POST", "/v1.41/containers/web/stop", RouteKind.Exempt, "web")]
    [TestCase("POST", "/v1.41/containers/web/wait?condition=/start", RouteKind.Exempt, "web")]
    [TestCase("POST", "/v1.41/images/create?fromImage=debian", RouteKind.Exempt, "")]
    [TestCase("POST", "/v1.41/build?networkmode=host", RouteKind.Build, "")]
    [TestCase("POST", "/session", RouteKind.Exempt, "")]
    [TestCase("POST", "", RouteKind.Unknown, "")]
    [TestCase("POST", "/v1.99/gpus/all/grab", RouteKind.Unknown, "/gpus/all/grab")]
    [TestCase("TRACE", "/_ping", RouteKind.Unknown, "/_ping")]
    [TestCase("POST", "http://docker", RouteKind.Unknown, "")]
    [TestCase("POST", "%", RouteKind.Unknown, "")]
    public void Calls_are_recognised_as_the_engine_does(string method, string uri, RouteKind kind, string name)
    {
        var route = EngineRoute.Match(method, uri);
        Assert.That((route.Kind, route.Name ?? ""), Is.EqualTo((kind, name)));
    }

    [TestCase("/containers/x/start", false)]
    [TestCase("/v1.24/containers/x/start", false)]
    [TestCase("/v1.51/containers/x/start", false)]
    [TestCase("/v1.23/containers/x/start", true)]
    [TestCase("/v1.9/containers/x/start", true)]
    [TestCase("/v1/containers/x/start", true)]
    [TestCase("/v1..24/containers/x/start", true)]
    [TestCase("/v0.99/containers/x/start", true)]
    public void A_version_that_may_be_old_counts_as_old(string uri, bool old) =>
        Assert.That(EngineRoute.Match("POST", uri).IsOlderThan(24), Is.EqualTo(old));

    [FsCheck.NUnit.Property(MaxTest = 2000)]
    public bool Any_URI_is_matched_without_an_exception(string? method, string? uri) =>
        EngineRoute.Match(method ?? "", uri ?? "").Kind <= RouteKind.PluginChange
        && EngineRoute.Match("POST", $"/containers/{uri}%/start").Kind is RouteKind.ContainerStart or RouteKind.Unknown;

    [Test]
    public void Every_route_of_the_table_is_found()
    {
        foreach (var (method, pattern, kind) in EngineRoutes.All)
        foreach (var uri in new[] { pattern, "/v1.24" + pattern, "/v1.51" + pattern + "?a=b" })
            Assert.That(EngineRoute.Match(method, uri.Replace("*", "x/y")).Kind, Is.EqualTo(kind), $"{method} {uri}");
        Assert.That(EngineRoutes.All.Distinct().Count(), Is.EqualTo(EngineRoutes.All.Count()));
    }
}
