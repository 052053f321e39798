// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.DependencyInjection;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission.Policies;

/// <summary>Another policy comes into force at each moment at which a judgement waits for the engine.</summary>
sealed class PolicyReloadTests : AuthorizerFixture
{
    const string Starting = "/containers/web/start?checkpoint-dir=/srv/x";
    const string Creating =
        """{"Image":"debian","Labels":{"gpu-memory":"0.5"},"HostConfig":{"Binds":["runai:/runai"],"DeviceRequests":[{"Count":1}],"PidMode":"container:other","CapAdd":["SYS_TIME"]}}""";

    static readonly string[] Files =
    [
        "{}",
        """{"allowBindMounts":[]}""",
        """{"maxQuota":"0.1"}""",
        """{"localSocket":"user","allowBindMounts":["/srv"],"allowPrivileged":false}""",
        """{"mode":"audit","maxQuota":"0.1","allowPrivileged":false}""",
        """{"maxQuota":"0.1","exempt":{"images":["debian"]}}""",
        "",
    ];

    int _loads;

    void Load(string file)
    {
        var path = Path.Combine(Folder, "gpu-memory.json");
        if (file.Length == 0)
            File.Delete(path);
        else
            File.WriteAllText(path, file);
        // seen as another file, whatever its size
        File.SetLastWriteTimeUtc(file.Length == 0 ? Folder : path, DateTime.UnixEpoch.AddSeconds(++_loads));
        Services.GetRequiredService<PolicySource>().Refresh();
    }

    void Have()
    {
        Have("0.5");
        Engine.Containers[Id] = Engine.Containers[Id] with
        {
            HostConfig = new()
            {
                DeviceRequests = [new() { Count = 1 }],
                PidMode = "container:other",
                CapAdd = ["SYS_TIME"],
            },
        };
        Engine.Containers["other"] = new()
        {
            Id = new('e', 64),
            Name = "/other",
            HostConfig = new() { Privileged = true },
        };
        Services.GetRequiredService<GpuReservations>().KeepOnly(new HashSet<string>(), 0);
    }

    /// <param name="before">In force when the call comes.</param>
    /// <param name="after">From the <paramref name="moment"/>th question to the engine on.</param>
    /// <param name="moment">0: never.</param>
    /// <param name="uri">The call.</param>
    /// <param name="body">Its body.</param>
    async Task<(bool Allowed, int Questions)> AskAsync(
        string before,
        string after,
        int moment,
        string uri,
        string? body
    )
    {
        Stop();
        Start();
        Load(before);
        Have();
        var asked = 0;
        Engine.OnCall = _ =>
        {
            if (++asked == moment)
                Load(after);
        };
        return (await BeforeAsync(Call("POST", uri, body)) == "allowed", asked);
    }

    [TestCase(Starting, null)]
    [TestCase("/containers/create", Creating)]
    public async Task A_start_is_judged_by_one_policy(string uri, string? body)
    {
        var moments = 0;
        foreach (var before in Files)
        foreach (var after in Files)
        {
            var (first, second) = (await AskAsync(before, "", 0, uri, body), await AskAsync(after, "", 0, uri, body));
            for (var moment = 1; moment <= Math.Max(first.Questions, second.Questions); moment++, moments++)
                Assert.That(
                    (await AskAsync(before, after, moment, uri, body)).Allowed,
                    Is.EqualTo(first.Allowed),
                    $"{before} and then {after} at question {moment}"
                );
        }
        Assert.That(moments, Is.GreaterThan(100));
    }
}
