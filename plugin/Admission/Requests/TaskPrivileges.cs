// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>What <c>--security-opt</c> is to a container.</summary>
sealed record TaskPrivileges
{
    /// <summary>Null: the engine's default profile.</summary>
    public ProfileChoice? Seccomp { get; init; }

    /// <summary>Null: the engine's default profile.</summary>
    public ProfileChoice? AppArmor { get; init; }

    /// <summary>Null: the engine's default labels.</summary>
    public SeLinuxContext? SELinuxContext { get; init; }

    /// <summary>The same as <c>--security-opt</c> of a container; empty for the engine's defaults.</summary>
    public List<string> ToSecurityOptions()
    {
        var options = new List<string>();
        if (Seccomp?.Mode is { Length: > 0 } and not "default")
            options.Add($"seccomp={Seccomp.Mode}");
        if (AppArmor?.Mode is { Length: > 0 } and not "default")
            options.Add($"apparmor={AppArmor.Mode}");
        if (SELinuxContext is { Disable: true })
            options.Add("label=disable");
        if (SELinuxContext?.Type is { Length: > 0 } type)
            options.Add($"label=type:{type}");
        return options;
    }
}

/// <summary><c>default</c>, or <c>unconfined</c>, <c>custom</c>, <c>disabled</c>.</summary>
sealed record ProfileChoice(string? Mode);

/// <summary>Labels of SELinux: none at all, or of another type.</summary>
sealed record SeLinuxContext(bool Disable, string? Type);
