// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>An engine whose admin wants quotas of at most a half, with a runtime that gives GPUs as NVIDIA's
/// does.</summary>
abstract class PolicyFixture(string version) : EngineFixture(version)
{
    public const decimal Most = 0.5m;

    protected virtual string PolicyFile => """{ "requireQuota": true, "maxQuota": "0.5" }""";

    protected virtual int Gpus => 1;

    /// <summary>More flags for dockerd.</summary>
    protected virtual string[] Flags => [];

    protected override TestEngine Create(string version)
    {
        var runtime = Path.Combine(Repository.Build, "nvidia-container-runtime");
        File.WriteAllText(runtime, Runtime);
        File.SetUnixFileMode(runtime, (UnixFileMode)0b111_101_101);
        return new(version, Gpus, policy: PolicyFile, flags: ["--add-runtime", $"nvidia={runtime}", .. Flags]);
    }

    protected Attempt Try(string body, string target = "/v1.41/containers/create", params string[] headers) =>
        Attempt.Make(Engine, body, Most, target, headers);

    /// <param name="name">The container's.</param>
    /// <param name="quota">The value of its label.</param>
    /// <param name="more">Further flags.</param>
    protected string CreateLegal(string name, string quota = "0.5", params string[] more) =>
        Engine
            .Docker([
                "create",
                "--name",
                name,
                "--network",
                "none",
                "--gpus",
                "1",
                "-v",
                "runai:/runai",
                "--label",
                $"gpu-memory={quota}",
                .. more,
                TestEngine.Image,
                "sleep",
                "600",
            ])
            .Ok();

    /// <summary>A container that gets a whole GPU, from a time without the policy.</summary>
    protected string CreateForbidden(string name)
    {
        Engine.WritePolicy("{}");
        var id = "";
        TestEngine.Eventually(
            () =>
            {
                var created = Engine.Docker(
                    "create",
                    "--name",
                    name,
                    "--network",
                    "none",
                    "--gpus",
                    "1",
                    TestEngine.Image,
                    "sleep",
                    "300"
                );
                id = created.Out.Trim();
                return created.Code == 0;
            },
            "without a policy it is created"
        );
        Engine.WritePolicy(PolicyFile);
        TestEngine.Eventually(() => Try(Body.Gpu).IsRefused, "the policy is back");
        return id;
    }

    /// <summary>runc, with the hook put into the bundle's configuration first.</summary>
    const string Runtime = """
        #!/bin/sh
        previous= bundle=
        for argument; do
            [ "$previous" != --bundle ] || bundle=$argument
            previous=$argument
        done
        if [ -n "$bundle" ]; then
            hook='{"path":"'$SIMGPU_LIB'/nvidia-container-runtime-hook","args":["hook","prestart"],"env":["SIMGPU_DIR='$SIMGPU_DIR'","SIMGPU_LIB='$SIMGPU_LIB'"]}'
            grep -q '"prestart":\[' "$bundle/config.json" && new='s|"prestart":\[|&'$hook',|' || new='s|^{|{"hooks":{"prestart":['$hook']},|'
            sed -i "$new" "$bundle/config.json"
        fi
        exec runc "$@"

        """;
}
