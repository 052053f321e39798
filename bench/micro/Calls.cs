// SPDX-License-Identifier: Apache-2.0
using System.Text;
using BenchmarkDotNet.Attributes;
using Runai.GpuMemory.Admission.Requests;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.MicroBench;

/// <summary>What each call costs that the engine asks about, in time and in bytes that it allocates.</summary>
[MemoryDiagnoser]
public class Calls
{
    static readonly byte[] Small = Encoding.UTF8.GetBytes(
        """
        {"Image":"debian","Cmd":["sleep","1"],"Labels":{"gpu-memory":"0.5"},
         "HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1,"Capabilities":[["gpu"]]}]}}
        """
    );

    /// <summary>A thousand labels and as many variables: 60 kB.</summary>
    static readonly byte[] Large = Encoding.UTF8.GetBytes(
        $$"""
        {"Image":"debian","Env":[ {{Many(n => $"\"VARIABLE_{n}=some value\"")}} ],
         "Labels":{ {{Many(n => $"\"label.{n}\":\"some value\"")}} },"HostConfig":{"Binds":["runai:/runai"]} }
        """
    );

    /// <summary>`docker ps`, as the engine asks about it.</summary>
    static readonly byte[] List = Ask("GET", "/v1.51/containers/json");

    static readonly JsonShape Shape = JsonShape.Of(CreateBodyJson.Default.CreateBody);

    readonly AuthZFastPath _look = new(new RoutesOnly());

    static string Many(Func<int, string> one) => string.Join(',', Enumerable.Range(0, 1000).Select(one));

    static byte[] Ask(string method, string uri)
    {
        var body = $$"""
            {"User":"","RequestMethod":"{{method}}","RequestUri":"{{uri}}","RequestHeaders":{"User-Agent":"Docker"} }
            """;
        string[] head =
        [
            $"POST {AuthZEndpoints.BeforePath} HTTP/1.1",
            "Host: plugin",
            "User-Agent: Go-http-client/1.1",
            $"Content-Length: {body.Length}",
            "Accept: application/vnd.docker.plugins.v1.2+json",
            "Content-Type: application/json",
        ];
        return Encoding.UTF8.GetBytes($"{string.Join("\r\n", head)}\r\n\r\n{body}");
    }

    [Benchmark]
    public int Fast_path()
    {
        var head = CallHead.Read(List) ?? throw new InvalidOperationException("no head");
        return _look.Answer(head, List.AsSpan(head.Length))?.Length
            ?? throw new InvalidOperationException("not the fast path");
    }

    [Benchmark]
    public string? StrictJson_small() => Check(Small);

    [Benchmark]
    public string? StrictJson_large() => Check(Large);

    [Benchmark]
    public object CreateBody_small() => Read(Small);

    [Benchmark]
    public object CreateBody_large() => Read(Large);

    static string? Check(byte[] body)
    {
        ReadOnlySpan<byte> json = body;
        var problem = StrictJson.FindProblem(ref json, Shape);
        return problem is null ? null : throw new InvalidOperationException(problem);
    }

    static CreateBody Read(byte[] json) =>
        CreateBody.TryRead(json, out var body, out var problem) ? body : throw new InvalidOperationException(problem);

    /// <summary>As the plugin's own decides without a policy file, by the route alone.</summary>
    sealed class RoutesOnly : IAuthorizer
    {
        public bool NeedsDecision(string method, string uri) => EngineRoute.Match(method, uri).Kind != RouteKind.Exempt;

        public bool MayBeDryRun(string method) => false;

        public ValueTask<AuthZAnswer> BeforeAsync(AuthZRequest apiCall, CancellationToken cancel) =>
            throw new NotSupportedException();

        public AuthZAnswer Unread(string problem, string? method, string? uri) => throw new NotSupportedException();

        public ValueTask<AuthZAnswer> AfterAsync(AuthZRequest apiCall, CancellationToken cancel) =>
            throw new NotSupportedException();
    }
}
