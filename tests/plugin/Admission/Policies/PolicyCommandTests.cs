// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;

namespace Runai.GpuMemory.Tests.Admission.Policies;

sealed class PolicyCommandTests
{
    static (int Code, string Output, string Error) Run(params string[] arguments)
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        return (PolicyCommand.Run(arguments, output, error), output.ToString(), error.ToString());
    }

    static (int Code, string Output, string Error) Check(string text)
    {
        var path = Path.GetTempFileName();
        File.WriteAllText(path, text);
        var result = Run("check", path);
        File.Delete(path);
        return (result.Code, result.Output.Replace(path, "FILE"), result.Error);
    }

    [Test]
    public void A_valid_policy_is_confirmed() =>
        Assert.That(
            Check(
                """{"localSocket":"user","requireQuota":true,"maxQuota":"0.5","admins":["ada"],"allowBindMounts":["/home/*"],"users":{"bob":{},"eve":{"maxQuota":"1","requireQuota":false}}}"""
            ),
            Is.EqualTo(
                (
                    0,
                    """
                    FILE: a policy
                      mode                 enforce
                      localSocket          user
                      admins               ada
                      onBreach             report
                      unknownRoutes        allow
                      status               all
                      overcommit           1
                      maxVolumes           1000
                      allowPrivileged      true
                      allowHostNamespaces  true
                      allowBindMounts      /home/*
                      driverCapabilities   all
                      requireQuota         true
                      defaultQuota         none
                      maxQuota             0.5
                      totalQuota           none
                      exempt.users         none
                      exempt.images        none
                      users.bob            as everybody
                      users.eve            requireQuota false, maxQuota 1

                    """,
                    ""
                )
            )
        );

    [Test]
    public void Each_problem_is_a_line_with_its_place()
    {
        var (code, output, _) = Check("{\n\"mode\": 1,\n\"a\": 2}");
        Assert.That(code, Is.EqualTo(1));
        Assert.That(
            output,
            Does.StartWith("FILE:2: mode must be \"enforce\" or \"audit\"\nFILE:3: a is not a known key")
        );
    }

    [Test]
    public void A_wrong_command_line_prints_the_usage()
    {
        Assert.That(Run("check"), Is.EqualTo((2, "", "usage: runai-gpu-memory policy check FILE\n")));
        Assert.That(Run("check", "/nowhere/policy.json").Code, Is.EqualTo(2));
    }
}
