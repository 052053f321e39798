using System.Text.RegularExpressions;
using NUnit.Framework;
using static Runai.GpuMemory.EngineTests.TestEngine;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>Calls that ask for much: nothing is allowed because there was no time to look, and the engine goes on.</summary>
[TestFixture(Engines.Oldest)]
[TestFixture(Engines.Middle)]
[TestFixture(Engines.Newest)]
sealed partial class FloodTests(string version) : PolicyFixture(version)
{
    protected override string PolicyFile => """{ "requireQuota": true, "localSocket": "user", "allowPrivileged": false, "allowHostNamespaces": false, "allowBindMounts": ["/home/*"] }""";

    static string Many(int count, Func<int, string> item) => string.Join(',', Enumerable.Range(0, count).Select(item));

    static string Refusal(RawAnswer answer)
    {
        Assert.That(Attempt.IsRefusal(answer), $"{answer}");
        return answer.Body;
    }

    [Test]
    public void A_refusal_that_would_be_long_is_short_and_the_log_goes_on()
    {
        var asked = Engine.Raw("POST", "/containers/create", System.Text.Encoding.UTF8.GetBytes(
            Body($$""","DeviceRequests":[{"Driver":"cdi","DeviceIDs":[{{Many(3000, i => $"\"acme.com/a-long-name-of-a-thing=number-{i}\"")}}]}]""", Label(new string('9', 100_000)))));
        Assert.That(Refusal(asked), Has.Length.LessThan(9 << 10));
        Refusal(Engine.Raw("POST", "/containers/create", "{}x"u8.ToArray()));
        Eventually(() => Engine.Log.Contains("gpu-memory warning 601: denied ContainerCreate user= container= image= gpu=none quota=none rule=create-body", StringComparison.Ordinal), "the line after it is there");
    }

    [Test]
    public void Every_line_of_the_plugin_in_the_engines_log_is_found_by_its_name()
    {
        Engine.Run("--rm", "-v", "runai:/runai", "--label", "gpu-memory=0.5", Image, "true").Ok();
        var lines = Engine.Log.Split('\n').Where(line => OfPlugin().IsMatch(line)).ToArray();
        Assert.That(lines, Has.Length.GreaterThan(3));
        Assert.That(lines.Where(line => !line.Contains("msg=\"gpu-memory ", StringComparison.Ordinal)), Is.Empty);
        Assert.That(lines, Has.Some.Contain("gpu-memory info 600: allowed ContainerStart"));
        Assert.That(lines.Where(line => line.Contains("level=error", StringComparison.Ordinal) != line.Contains("\"gpu-memory error", StringComparison.Ordinal)), Is.Empty);
    }

    /// <summary>The engine writes the plugin's ID behind each of its lines.</summary>
    [GeneratedRegex("plugin=[0-9a-f]{64}")]
    private static partial Regex OfPlugin();
}
